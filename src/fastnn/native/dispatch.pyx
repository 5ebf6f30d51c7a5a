"""The one place that looks at the processor: at its cache, and at what instructions it has.

The instruction set is chosen once, when this module is imported.
``FASTNN_ISA`` forces a set; otherwise the best one that the processor supports is taken.
"""

import contextlib
import os

from fastnn.native.ckernels cimport fnn_isa, fnn_isas, fnn_kernels

cdef extern from "c/cache.h" nogil:
    int64_t fnn_near_bytes()

cdef extern from *:
    """
    #if defined(__clang__)
    #define FASTNN_COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define FASTNN_COMPILER "GCC " __VERSION__
    #else
    #define FASTNN_COMPILER "unknown"
    #endif
    """
    const char *FASTNN_COMPILER

cdef enum:
    MANY_ROWS = 512
    FEW_BYTES = 256 * 1024
    REDUCTION_BYTES = 4096  # of a row of A, which a product takes at a time

cdef const fnn_isa *chosen = NULL


cdef const fnn_kernels *kernels_for(size_t itemsize) noexcept nogil:
    """The chosen table for floats of 4 or 8 bytes."""
    return chosen.float32 if itemsize == 4 else chosen.float64


cdef int64_t room_for_panels(
    const fnn_kernels *table, int64_t rows, int64_t k, int64_t columns
) noexcept nogil:
    """Elements of the panels of a B that a thread packs at a time: one panel at least.

    They are read again and again. Many rows of A, which have to pass by for each lot, are worth
    all that the second-level cache has room for; where k is long, that holds for each part of it.
    """
    cdef int64_t width = table.panel_width
    cdef int64_t bytes_at_once = max(width * min(k * table.itemsize, REDUCTION_BYTES), 1)
    cdef int64_t most = fnn_near_bytes() if rows >= MANY_ROWS else FEW_BYTES
    cdef int64_t panels = min((columns + width - 1) // width, max(most // bytes_at_once, 1))
    return panels * width * k


def available_isas():
    """Return the names of the instruction sets that this machine can run, best first."""
    names = []
    cdef const fnn_isa *isa = fnn_isas
    while isa.name != NULL:
        if isa.supported():
            names.append(isa.name.decode())
        isa += 1
    return names


def isa():
    """Return the name of the instruction set in use."""
    return chosen.name.decode()


def set_isa(name):
    """Use the instruction set `name` from now on, in kernels and in engines made afterwards.

    Raises
    ------
    ValueError
        If this machine cannot run it or the build does not have it.
    """
    global chosen
    available = available_isas()
    if name not in available:
        raise ValueError(
            f"instruction set must be one of {', '.join(available)} on this machine, got {name!r}"
        )
    cdef const fnn_isa *candidate = fnn_isas
    while candidate.name.decode() != name:
        candidate += 1
    chosen = candidate


@contextlib.contextmanager
def use_isa(name):
    """Context in which kernels run, and engines are made, with the instruction set `name`."""
    before = isa()
    set_isa(name)
    try:
        yield
    finally:
        set_isa(before)


def compiler():
    """Return the name and version of the compiler that built the kernels."""
    return FASTNN_COMPILER.decode()




def _choose_at_import():
    forced = os.environ.get("FASTNN_ISA")
    try:
        set_isa(forced or available_isas()[0])
    except ValueError as error:
        raise ImportError(f"FASTNN_ISA: {error}") from None


_choose_at_import()
