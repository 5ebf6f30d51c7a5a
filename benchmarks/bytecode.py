"""What a fresh interpreter finds of the package: bytecode, as pip leaves it.

An editable installation is compiled when it is first imported, and where
``PYTHONDONTWRITEBYTECODE`` is set again each time, which takes five times as long as the import.
"""

from __future__ import annotations

import compileall
import importlib.util


def prepare() -> None:
    """Compile the package's modules that have changed since they were compiled."""
    package = importlib.util.find_spec("fastnn")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("fastnn is not installed: pip install -e .")
    for folder in package.submodule_search_locations:
        compileall.compile_dir(folder, quiet=1)
