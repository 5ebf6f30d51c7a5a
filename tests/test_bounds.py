"""Kernels never read or write outside an array: arrays that end where memory does.

Each array ends at (or, going backwards, begins after) a page that may not be touched; one byte
too far ends the process, so the calls run in a process of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fastnn.native.dispatch import available_isas

GUARDED = textwrap.dedent(
    '''
    import ctypes, mmap, sys
    import numpy as np
    from fastnn import kernels
    from fastnn._checks import ACTIVATIONS, METRICS, OUTPUTS_PER_TARGET
    from loss_cases import CASES

    SPLIT = (20, 21, 600)  # of which the transpose is copied, to tiles that end within a vector
    MANY = (201, 21, 133)  # of which each tile goes through all columns
    PASSING = (40, 67, 215)  # whose kernel is packed in passing, but for a last panel
    TURNED = (62, 131, 130)  # of which the gradient of the input is worked out transposed,
    COLLIDING = (32, 130, 512)  # or the product itself
    TILED = (257, 515, 1025)  # of which both operands of the kernel's gradient are copied
    PAGE = mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    SIZES = [(1, 1, 1), (3, 5, 7), (13, 17, 33), (5, 3, 600)]
    SIZES += [SPLIT, MANY, PASSING, TURNED, COLLIDING]
    rng = np.random.default_rng(0)
    kept = []

    def guarded(array, at_end=True):
        """A copy of `array` that touches a forbidden page with its last (or first) byte."""
        pages = -(-max(array.nbytes, 1) // PAGE)
        memory = mmap.mmap(-1, (pages + 1) * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        forbidden = start + pages * PAGE if at_end else start
        if libc.mprotect(ctypes.c_void_p(forbidden), PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
        offset = pages * PAGE - array.nbytes if at_end else PAGE
        copy = np.frombuffer(memory, array.dtype, array.size, offset).reshape(array.shape)
        copy[...] = array
        kept.append(memory)
        return copy

    def check():
        for dtype in (np.float32, np.float64):
            for rows, inputs, units in SIZES:
                x = rng.normal(size=(rows, inputs)).astype(dtype)
                w = rng.normal(size=(inputs, units)).astype(dtype)
                b, g = rng.normal(size=units).astype(dtype), np.ones((rows, units), dtype)
                for end in (True, False):
                    X, W, B, G = (guarded(a, end) for a in (x, w, b, g))
                    out = guarded(g, end)
                    for activation in ("linear", "relu", "tanh", "softmax"):
                        kernels.dense_forward(X, W, B, activation, out=out)
                        kernels.dense_backward(G, X, W, B, activation, y=out)
                    for mode in ("rows", "columns"):
                        kernels.orthogonal_gradient(W, mode=mode)
                    for array in (guarded(w, end), guarded(b, end)):
                        kernels.min_max_norm(array)
                        kernels.non_neg(array)
                        kernels.all_finite(array)
                    W_transposed = guarded(np.ascontiguousarray(w.T), end).T
                    kernels.dense_forward(X, W_transposed, B, out=out)
                    wide, both = (guarded(np.hstack([g, g]), end) for _ in range(2))
                    for activation in ACTIVATIONS:
                        Z, grad_z = (wide, both) if activation == "glu" else (G, out)
                        kernels.activation_forward(Z, activation, out=out)
                        if activation != "step":
                            kernels.activation_backward(G, Z, G, activation, out=grad_z)
                    labels = guarded(np.zeros(rows, np.int32), end)
                    weights = guarded(np.ones(rows, dtype), end)
                    for loss, options in CASES:
                        y = labels if loss.startswith("sparse") else G
                        P = guarded(np.tile(g, OUTPUTS_PER_TARGET.get(loss, 1)), end)
                        kernels.loss_forward(y, P, loss, **options)
                        place = guarded(P, end)
                        kernels.loss_backward(
                            y, P, loss, sample_weight=weights, out=place, **options
                        )
                    for metric in METRICS:
                        kernels.metric_values(labels if "sparse" in metric else G, G, metric)
                    kernels.dropout(G, 0.5, 1, 2, out=out)
                    p, m, v = (guarded(abs(b) + 1, end) for _ in range(3))
                    kernels.sgd(p, B, m, learning_rate=0.1, momentum=0.9)
                    kernels.rmsprop(p, B, m, v, learning_rate=0.1, momentum=0.9)
                    kernels.adagrad(p, B, v, learning_rate=0.1)
                    kernels.adam(p, B, m, v, learning_rate=0.1, step=1)
            rows, inputs, units = TILED
            for end in (True, False):
                sizes = (rows, inputs), (inputs, units), (rows, units)
                X, W, G = (guarded(np.ones(size, dtype), end) for size in sizes)
                kernels.dense_backward(G, X, W)

    if sys.argv[1] == "overrun":
        memory = guarded(np.zeros(4, np.float32))
        ctypes.string_at(memory.ctypes.data, memory.nbytes + 1)
    check()
    print("within bounds")
    '''
)


def run(isa, mode="check"):
    return subprocess.run(
        [sys.executable, "-c", GUARDED, mode],
        env={**os.environ, "FASTNN_ISA": isa},
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect as Linux has it")
@pytest.mark.parametrize("name", available_isas())
def test_kernels_stay_within_arrays(name):
    done = run(name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "within bounds"


@pytest.mark.skipif(sys.platform != "linux", reason="needs mprotect as Linux has it")
def test_the_guard_page_would_have_caught_an_overrun():
    assert run("baseline", "overrun").returncode < 0
