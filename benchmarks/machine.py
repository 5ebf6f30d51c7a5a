"""Where and with what something was measured."""

from __future__ import annotations

import platform
from datetime import date
from pathlib import Path
from typing import Any

import threads

OLD_KERNELS = ("Haswell", "Zen", "Sandybridge", "Nehalem", "Prescott")


def describe(thread_count: int) -> dict[str, Any]:
    """Describe the machine as this process sees it, with the libraries that it has loaded."""
    import numpy
    from probe import current_isa

    import fastnn

    return {
        "cpu": _cpu(),
        "isa": current_isa(),
        "available": fastnn.available_isas(),
        "blas": _blas(),
        "threads": thread_count,
        "processors": threads.processors(),
        "python": platform.python_version(),
        "versions": {"fastnn": fastnn.__version__, "NumPy": numpy.__version__},
        "date": date.today().isoformat(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _blas() -> str:
    """Return the BLAS library behind NumPy and the kernels that it chose."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return "unknown BLAS (install threadpoolctl to see it)"
    for library in threadpool_info():
        if library["user_api"] == "blas":
            kernels = library.get("architecture", "unnamed")
            return f"{library['internal_api']} {library['version']}, {kernels} kernels"
    return "unknown BLAS"


def threads_in_words(machine: dict[str, Any]) -> str:
    """Return such as ``"one thread"``, and on how many processors if that is not as many."""
    count, processors = machine["threads"], machine["processors"]
    words = {1: "one thread", 2: "two threads"}.get(count, f"{count} threads")
    return words if count == processors else f"{words} on {processors} processor(s)"


def sentence(machine: dict[str, Any]) -> str:
    """Return all of it in one line."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']}, {threads_in_words(machine)}; fastnn with {machine['isa']}, NumPy with "
        f"{machine['blas']}; Python {machine['python']}, {versions}; {machine['date']}."
    )


def warnings(machine: dict[str, Any]) -> list[str]:
    """Return what makes the comparison less than it could be."""
    found = []
    old_kernels = any(f"{name} kernels" in machine["blas"] for name in OLD_KERNELS)
    if machine["isa"] == "avx512" and old_kernels:
        found.append(
            "NumPy's OpenBLAS chose kernels older than the processor: set "
            "OPENBLAS_CORETYPE=SKYLAKEX for the harder opponent"
        )
    if machine["processors"] < machine["threads"]:
        found.append(f"{machine['threads']} threads share {machine['processors']} processor(s)")
    return found
