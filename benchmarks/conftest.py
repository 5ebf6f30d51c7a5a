"""Sets the number of threads before anything loads NumPy."""

from __future__ import annotations

import threads

threads.set_up(1)
