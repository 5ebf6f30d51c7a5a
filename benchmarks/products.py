"""Jobs of the kernels: matrix products called from C, and the reading of memory."""

from __future__ import annotations

import numpy as np
import probe
from checks import check, relative_error
from timing import Job


def product(contender: str, rows: int, inputs: int, units: int) -> Job:
    """Return a product by fastnn's kernel, which adds bias and relu, or by BLAS, alone."""
    dtype = np.float64 if contender == "fastnn float64" else np.float32
    generator = np.random.default_rng(3)
    shapes = (rows, inputs), (inputs, units), (units,)
    a, b, bias = (generator.uniform(-1, 1, shape).astype(dtype) for shape in shapes)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    job: probe.BlasProduct | probe.Product
    if contender == "OpenBLAS":
        job = probe.BlasProduct(a, b)
    else:
        job, exact = probe.Product(a, b, bias), np.maximum(exact + bias, 0)
    job.seconds(1)
    tolerance = 1e-5 if dtype is np.float32 else 1e-13
    check(f"{contender}, {rows} x {inputs} x {units}", relative_error(job.c, exact), tolerance)
    return job


def reading(contender: str, size: int) -> Job:
    """Return the reading of an array of `size` bytes."""
    assert contender == "memory"
    job = probe.Reading(size)
    check("sum of an array", abs(job.total() - size / 4), 0)
    return job
