"""Optional packages: imported where they are used, and named when they are missing."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str) -> ModuleType:
    """Import and return an optional module.

    Parameters
    ----------
    module : str
        Dotted name, such as ``"matplotlib.figure"``.
    extra : str
        The extra of fastnn that installs it, such as ``"plot"``.

    Raises
    ------
    ImportError
        If its package is not installed; the message names the extra. An error from within an
        installed package is passed on as it is.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ImportError(
            f"{package} is needed here and is not installed. "
            f'Install it with: pip install "fastnn[{extra}]"',
            name=package,
        ) from error
    return importlib.import_module(module)
