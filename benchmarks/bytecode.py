"""What a fresh interpreter finds of the package: bytecode, as pip leaves it.

An editable installation is compiled when it is first imported, and where
``PYTHONDONTWRITEBYTECODE`` is set again each time, which takes some five times as long.
"""

from __future__ import annotations

import compileall
from pathlib import Path


def prepare() -> None:
    """Compile the package's modules that have changed since they were compiled."""
    import fastnn  # when the environment is set up

    compileall.compile_dir(Path(fastnn.__file__).parent, quiet=1)
