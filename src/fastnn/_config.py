"""What the running fastnn consists of: version, instruction set, threads, compiler."""

from __future__ import annotations

import platform
import sys

import numpy as np

from fastnn._version import __version__
from fastnn.native.dispatch import available_isas, compiler, isa, use_isa
from fastnn.native.team import get_num_threads, set_num_threads, use_threads

__all__ = [
    "available_isas",
    "config",
    "get_num_threads",
    "set_num_threads",
    "show_config",
    "use_isa",
    "use_threads",
]


def config() -> dict[str, str | int | list[str]]:
    """Return what `show_config` prints, as a dictionary."""
    return {
        "fastnn": __version__,
        "instruction set": isa(),
        "available": available_isas(),
        "threads": get_num_threads(),
        "compiler": compiler(),
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
    }


def show_config() -> None:
    """Print version, instruction set in use and those available, threads and compiler.

    The instruction set is chosen when fastnn is imported: the best one that the processor
    supports, or the one that the environment variable ``FASTNN_ISA`` names.
    """
    for key, value in config().items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{key + ':':<17}{text}")
