"""Gives the process a number of threads and processors, before NumPy is loaded.

BLAS, OpenMP, XLA, TensorFlow and fastnn read the environment when they are loaded, and child
processes inherit it along with the processors. With one thread the process is bound to one
processor, so that no pool of threads can help a contender.
"""

from __future__ import annotations

import os

FASTNN = "FASTNN_NUM_THREADS"
LIBRARIES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)
SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers beside the measurement
}


def set_up(threads: int, isa: str | None = None) -> None:
    """Set everyone's number of threads, the processors, and fastnn's instruction set if given."""
    _limit(threads)
    os.environ[FASTNN] = str(threads)
    if isa:
        os.environ["FASTNN_ISA"] = isa
    bind(threads)


def set_up_for_fastnn(processors: int) -> None:
    """Leave these processors to fastnn, with its own default; other libraries get one thread."""
    _limit(1)
    os.environ.pop(FASTNN, None)
    bind(processors)


def _limit(threads: int) -> None:
    """Set the number of threads of all libraries but fastnn."""
    os.environ.update(SETTINGS)
    os.environ.update(dict.fromkeys(LIBRARIES, str(threads)))
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"


def count() -> int:
    """Return the number of threads that was set up."""
    return int(os.environ["OMP_NUM_THREADS"])


def bind(processors: int) -> None:
    """Keep the process to this many of its processors, the last ones, where that can be done."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-processors:])


def processors() -> int:
    """Return how many processors the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
