"""Gives the process a number of threads and processors, before NumPy is loaded.

BLAS, OpenMP, XLA, TensorFlow and fastnn read the environment when they are loaded, and child
processes inherit it along with the processors. With one thread the process is bound to one
processor, so that no pool of threads can help a contender.
"""

from __future__ import annotations

import os

FASTNN = "FASTNN_NUM_THREADS"
OPENMP = "OMP_NUM_THREADS"
BLAS = (
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
TENSORFLOW = "TF_NUM_INTRAOP_THREADS"
OPENBLAS_CORES = {"avx2": "Haswell", "baseline": "Prescott"}
"""Kernels of OpenBLAS that have no more than such an instruction set."""

SETTINGS = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTEROP_THREADS": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers beside the measurement
}


def set_up(threads: int, isa: str | None = None) -> None:
    """Set everyone's number of threads and the processors.

    `isa` is the instruction set of fastnn and, unless OPENBLAS_CORETYPE is set, of OpenBLAS.
    """
    os.environ.update(SETTINGS)
    os.environ.update(dict.fromkeys((FASTNN, OPENMP, TENSORFLOW, *BLAS), str(threads)))
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if isa:
        os.environ["FASTNN_ISA"] = isa
        if isa in OPENBLAS_CORES:
            os.environ.setdefault("OPENBLAS_CORETYPE", OPENBLAS_CORES[isa])
    bind(threads)


def set_up_for_fastnn(processors: int) -> None:
    """Leave these processors to fastnn, with its own default; NumPy gets one thread."""
    for variable in (FASTNN, OPENMP):
        os.environ.pop(variable, None)
    os.environ.update(dict.fromkeys(BLAS, "1"))
    bind(processors)


def count() -> int:
    """Return the number of threads that was set up."""
    return int(os.environ[OPENMP])


def bind(processors: int) -> None:
    """Keep the process to this many of its processors, the last ones, where that can be done."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-processors:])


def processors() -> int:
    """Return how many processors the process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
