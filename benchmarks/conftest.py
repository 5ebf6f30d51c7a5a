"""Sets the number of threads before anything loads NumPy."""

from __future__ import annotations

import one_thread  # noqa: F401
