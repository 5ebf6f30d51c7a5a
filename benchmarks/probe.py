"""Kernels called from C: the processor's peak, fastnn's products and those of NumPy's BLAS.

A few lines of C (c/probe.c) are compiled with the system's compiler when they are first needed.
They find fastnn's kernels in its own extension module, as installed, and BLAS in the library
that NumPy has loaded; nothing is built a second time with other options.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
from ctypes import c_int64, c_void_p
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

HERE = Path(__file__).parent
VECTOR_BYTES = {"avx512": 64, "avx2": 32, "baseline": 16}
VECTOR_FLAGS = {"avx512": ["-mavx512f", "-mfma"], "avx2": ["-mavx2", "-mfma"], "baseline": []}
FUNCTIONS = (
    "time_peak",
    "time_tile",
    "time_handover",
    "sum",
    "time_sum",
    "time_gemm",
    "time_sgemm",
)


@cache
def library() -> ctypes.CDLL:
    """Return the probe, compiled for fastnn's instruction set.

    Raises
    ------
    ImportError
        If it cannot be compiled.
    """
    isa = current_isa()
    compiler = shlex.split(os.environ.get("CC", "cc"))
    include = HERE.parent / "src" / "fastnn" / "native" / "c"
    with TemporaryDirectory(prefix="fastnn-probe-") as folder:
        target = f"{folder}/probe.so"
        command = [
            *compiler,
            "-O3",
            "-shared",
            "-fPIC",
            "-pthread",
            *VECTOR_FLAGS[isa],
            f"-I{include}",
        ]
        command += [f"-DVECTOR_BYTES={VECTOR_BYTES[isa]}", f"{HERE}/c/probe.c", "-o", target]
        try:
            subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise ImportError(f"c/probe.c does not compile: {error}") from error
        probe = ctypes.CDLL(target)
    for name in FUNCTIONS:
        getattr(probe, name).restype = ctypes.c_double
    return probe


def current_isa() -> str:
    """Return fastnn's instruction set."""
    from fastnn.native.dispatch import isa

    return isa()


def _kernels(dtype: np.dtype) -> c_void_p:
    """Return the address of fastnn's kernels for this type and the current instruction set."""
    from fastnn.native import dispatch

    suffix = "f32" if dtype == np.float32 else "f64"
    symbol = f"fnn_kernels_{suffix}_{current_isa()}"
    return c_void_p(ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(dispatch.__file__), symbol)))


def _address(array: np.ndarray) -> c_void_p:
    return c_void_p(array.ctypes.data)


class Peak:
    """Multiply-adds on registers; a step of it is one floating-point operation."""

    FUNCTION = "time_peak"
    ROUNDS = 10_000

    def seconds(self, repeats: int) -> float:
        """Return the time of one operation of one processor in float32."""
        return getattr(library(), self.FUNCTION)(c_int64(repeats * self.ROUNDS))


class Tile(Peak):
    """The same beside the loads of a tile of registers, from the first-level cache."""

    FUNCTION = "time_tile"
    ROUNDS = 200


class Handover:
    """Two threads that write to a cache line in turn."""

    TURNS = 100

    def seconds(self, repeats: int) -> float:
        """Return how long it takes until one sees what the other has written.

        Raises
        ------
        OSError
            If the system gives no second thread.
        """
        taken = library().time_handover(c_int64(repeats * self.TURNS))
        if taken < 0:
            raise OSError("no second thread to hand over to")
        return taken


class Reading:
    """The sum of `size` bytes of ones, float32."""

    def __init__(self, size: int) -> None:
        self.x = np.ones(size // 4, np.float32)

    def total(self) -> float:
        """Return the sum."""
        return library().sum(c_int64(self.x.size), _address(self.x))

    def seconds(self, repeats: int) -> float:
        """Return the time of one sum."""
        return library().time_sum(c_int64(self.x.size), _address(self.x), c_int64(repeats))


class Product:
    """``relu(a @ b + bias)`` with `b` packed, as fastnn's models compute it."""

    def __init__(self, a: np.ndarray, b: np.ndarray, bias: np.ndarray) -> None:
        self.a, self.bias = a, bias
        self.c = np.empty((len(a), b.shape[1]), a.dtype)
        self.kernels = _kernels(a.dtype)
        self.packed = self._pack(b)

    def _pack(self, b: np.ndarray) -> np.ndarray:
        from fastnn.program import aligned_zeros

        k, n = b.shape
        width = library().panel_width(self.kernels)
        packed = aligned_zeros(-(-n // width) * width * k, b.dtype)
        library().pack(self.kernels, c_int64(k), c_int64(n), _address(b), _address(packed))
        return packed

    def seconds(self, repeats: int) -> float:
        """Return the time of one call."""
        sizes = map(c_int64, (*self.c.shape, self.a.shape[1]))
        arrays = map(_address, (self.a, self.packed, self.bias, self.c))
        return library().time_gemm(self.kernels, *sizes, *arrays, c_int64(repeats))


class BlasProduct:
    """``a @ b`` by the library that NumPy has loaded, alone: no bias, no relu."""

    def __init__(self, a: np.ndarray, b: np.ndarray) -> None:
        self.a, self.b = a, b
        self.c = np.empty((len(a), b.shape[1]), np.float32)
        self.gemm = _sgemm()

    def seconds(self, repeats: int) -> float:
        """Return the time of one call."""
        sizes = map(c_int64, (*self.c.shape, self.a.shape[1]))
        arrays = map(_address, (self.a, self.b, self.c))
        return library().time_sgemm(self.gemm, *sizes, *arrays, c_int64(repeats))


@cache
def openblas() -> dict[str, Any]:
    """Return what threadpoolctl says about NumPy's OpenBLAS.

    Raises
    ------
    ImportError
        If NumPy has another BLAS, or threadpoolctl is missing.
    """
    from threadpoolctl import threadpool_info

    for module in threadpool_info():
        if module["internal_api"] == "openblas" and "numpy" in module["filepath"]:
            return module
    raise ImportError("NumPy's BLAS is not its own OpenBLAS")


def _sgemm() -> c_void_p:
    """Return the address of single-precision GEMM with 64-bit sizes in NumPy's OpenBLAS."""
    blas = ctypes.CDLL(openblas()["filepath"])
    for name in ("scipy_cblas_sgemm64_", "cblas_sgemm64_"):
        if hasattr(blas, name):
            return ctypes.cast(getattr(blas, name), c_void_p)
    raise ImportError("NumPy's OpenBLAS has no GEMM with 64-bit sizes")
