"""Every native kernel against its reference, under each instruction set of this machine."""

from __future__ import annotations

import inspect
from collections import Counter

import numpy as np
import pytest
from loss_cases import CASES, IDS, targets_and_predictions

from fastnn import kernels, reference, use_threads
from fastnn._checks import ACTIVATION_OPTIONS, ACTIVATIONS, METRICS, ROW_ACTIVATIONS
from fastnn.program import aligned_zeros

DTYPES = ("float32", "float64")
TOLERANCE = {"float32": 3e-5, "float64": 3e-12}
DIFFERENTIABLE = [name for name in ACTIVATIONS if name != "step"]
# All small sizes, both sides of every tile (6, 10 or 14 rows; 4 to 32 columns), primes, some large.
SIZES = (0, 1, 2, 3, 5, 6, 7, 10, 11, 13, 14, 15, 16, 17, 31, 32, 33, 37, 64, 101)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def assert_close(actual, expected, factor=1.0):
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    tolerance = TOLERANCE[actual.dtype.name] * factor
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", kernels.__all__)
def test_signatures_agree(name):
    native, plain = (inspect.signature(getattr(m, name)) for m in (kernels, reference))
    assert [(p.name, p.kind, p.default) for p in native.parameters.values()] == [
        (p.name, p.kind, p.default) for p in plain.parameters.values()
    ]
    assert getattr(kernels, name).__doc__ == getattr(reference, name).__doc__


def test_both_offer_the_same():
    assert sorted(kernels.__all__) == sorted(reference.__all__)


# Products


def integers(rng, shape, dtype):
    """Small integers: every product and sum of them is exact in either float type."""
    return rng.integers(-3, 4, size=shape).astype(dtype)


def product(a, b):
    """Return ``a @ b`` in integers: exact, and no matter what BLAS library NumPy has."""
    return (a.astype(np.int64) @ b.astype(np.int64)).astype(a.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [32, 64, 80, 112, 128, 144, 240, 256, 272])
def test_a_row_is_the_same_wherever_the_kernel_begins(isa, rng, dtype, units):
    x = rng.normal(size=(1, 37)).astype(dtype)
    w, bias = rng.normal(size=(37, units)).astype(dtype), rng.normal(size=units).astype(dtype)
    memory = np.empty(w.size + 64, dtype)
    expected = reference.dense_forward(x, w, bias, "relu")
    results = []
    for start in range(32):
        moved = memory[start : start + w.size].reshape(w.shape)
        moved[...] = w
        results.append(kernels.dense_forward(x, moved, bias, "relu"))
        assert_close(results[-1], expected)
    for result in results:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh"])
@pytest.mark.parametrize(
    "shape",
    [
        (30, 40, 64),
        (80, 150, 128),
        (80, 1100, 100),
        (130, 70, 256),
        (80, 200, 512),
        (90, 20, 1024),
        (100, 64, 10),
        (70, 208, 3),
    ],
)
def test_no_bit_depends_on_where_arrays_begin(isa, rng, activation, shape, dtype):
    rows, inputs, units = shape
    arrays = [
        rng.normal(size=(rows, inputs)).astype(dtype),
        (rng.normal(size=(inputs, units)) / np.sqrt(inputs)).astype(dtype),
        rng.normal(size=units).astype(dtype),
        rng.normal(size=(rows, units)).astype(dtype),
    ]
    results = []
    for start in (0, 1, 7):
        x, kernel, bias, grad = (
            aligned_zeros(a.size + start, dtype)[start:].reshape(a.shape) for a in arrays
        )
        for place, values in zip((x, kernel, bias, grad), arrays, strict=True):
            place[...] = values
        y = kernels.dense_forward(x, kernel, bias, activation)
        results.append([y, *kernels.dense_backward(grad, x, kernel, bias, activation, y=y)])
    y = reference.dense_forward(*arrays[:3], activation)
    assert_close(results[0][0], y)
    expected = reference.dense_backward(arrays[3], *arrays[:3], activation)
    for actual, of_reference in zip(results[0][1:], expected, strict=True):
        assert_close(actual, of_reference, 10)
    for result in results[1:]:
        for actual, first in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(actual, first)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [1, 3, 8, 10, 16])
def test_few_units_have_the_same_bits_among_many_rows_as_among_few(isa, rng, dtype, units):
    x = rng.normal(size=(150, 40)).astype(dtype)
    kernel, bias = rng.normal(size=(40, units)).astype(dtype), rng.normal(size=units).astype(dtype)
    few = [kernels.dense_forward(x[i : i + 5], kernel, bias, "relu") for i in range(0, 150, 5)]
    for rows in (31, 32, 33, 64, 100, 150):
        many = kernels.dense_forward(x[:rows], kernel, bias, "relu")
        np.testing.assert_array_equal(many, np.concatenate(few)[:rows])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", SIZES)
def test_products_of_integers_are_exact(isa, rng, dtype, rows):
    for inputs in (0, 1, 7, 16, 33):
        for units in SIZES:
            x, kernel = integers(rng, (rows, inputs), dtype), integers(rng, (inputs, units), dtype)
            bias = integers(rng, units, dtype)
            y = kernels.dense_forward(x, kernel, bias, "relu")
            np.testing.assert_array_equal(y, np.maximum(product(x, kernel) + bias, 0))
            grad = integers(rng, (rows, units), dtype)
            grad_x, grad_kernel, grad_bias = kernels.dense_backward(grad, x, kernel, bias)
            np.testing.assert_array_equal(grad_x, product(grad, kernel.T))
            np.testing.assert_array_equal(grad_kernel, product(x.T, grad))
            np.testing.assert_array_equal(grad_bias, grad.sum(axis=0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [
        (3, 2500, 40),
        (200, 1024, 70),
        (40, 1024, 200),
        (120, 1024, 300),
        (13, 1025, 1030),
        (70, 11, 1100),
        (1, 2049, 600),
        (400, 3, 1100),
        (401, 300, 137),
        (20, 201, 600),
        (257, 515, 1030),
        (531, 701, 761),
        (40, 300, 1024),
        (130, 300, 1024),
        (40, 1500, 200),  # packed in passing, in two blocks of steps
        (300, 256, 130),  # steps of the transpose collide,
        (4200, 260, 128),  # or are many
        (150, 130, 330),  # tiles of two panels, and a last panel,
        (125, 1200, 300),  # whose second block of steps is added
        (130, 64, 10),  # the transposed product, in parts of 64 rows,
        (77, 200, 3),
        (33, 1024, 16),
        (64, 1025, 5),  # and shapes that are one step too many,
        (100, 50, 1),  # or whose transpose ends within a vector
        (64, 339, 130),  # gradients of the input whose rows fill panels, whole
        (31, 230, 1040),  # or all but so, in several blocks of columns,
        (126, 115, 259),  # and in two blocks of rows,
        (63, 391, 1024),  # and products whose kernel's rows collide in the cache
    ],
)
def test_large_products_of_integers_are_exact(isa, rng, dtype, shape):
    rows, inputs, units = shape
    x, kernel = integers(rng, (rows, inputs), dtype), integers(rng, (inputs, units), dtype)
    np.testing.assert_array_equal(kernels.dense_forward(x, kernel), product(x, kernel))
    grad = integers(rng, (rows, units), dtype)
    grad_x, grad_kernel, grad_bias = kernels.dense_backward(grad, x, kernel)
    np.testing.assert_array_equal(grad_x, product(grad, kernel.T))
    np.testing.assert_array_equal(grad_kernel, product(x.T, grad))
    assert grad_bias is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["relu", "tanh", "softmax"])
@pytest.mark.parametrize("shape", [(40, 1500, 200), (45, 600, 215), (38, 64, 1000)])
def test_kernels_packed_in_passing(isa, rng, activation, shape, dtype):
    rows, inputs, units = shape
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    kernel = (rng.normal(size=(inputs, units)) / np.sqrt(inputs)).astype(dtype)
    bias = rng.normal(size=units).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            results.append(kernels.dense_forward(x, kernel, bias, activation))
    assert_close(results[0], reference.dense_forward(x, kernel, bias, activation))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])
    last = kernels.dense_forward(x[-1:].repeat(rows, axis=0), kernel, bias, activation)[0]
    np.testing.assert_array_equal(last, results[0][-1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "softmax"])
@pytest.mark.parametrize("units", [512, 1024])
@pytest.mark.parametrize("rows", [16, 30, 32, 47, 64, 96])
def test_kernels_whose_rows_collide_in_the_cache(isa, rng, activation, rows, units, dtype):
    """Three threads share rows, which then do not fill panels; each has the same bits."""
    x = rng.normal(size=(rows, 300)).astype(dtype)
    kernel = (rng.normal(size=(300, units)) / 20).astype(dtype)
    bias = rng.normal(size=units).astype(dtype)
    y = kernels.dense_forward(x, kernel, bias, activation)
    assert_close(y, reference.dense_forward(x, kernel, bias, activation))
    for threads in (1, 2, 3):
        with use_threads(threads):
            shared = kernels.dense_forward(x, kernel, bias, activation)
        np.testing.assert_array_equal(shared, y)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [8, 16, 24, 32, 64, 96, 128])
def test_rows_that_fill_panels_have_the_same_bits_for_any_number_of_threads(isa, rng, rows, dtype):
    grad = rng.normal(size=(rows, 270)).astype(dtype)
    kernel = rng.normal(size=(700, 270)).astype(dtype)
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            results.append(kernels.dense_forward(grad, kernel.T))
    assert_close(results[0], reference.dense_forward(grad, kernel.T), 10)
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def layouts(array):
    """Yield the same numbers in memory of other orders, strides and alignments."""
    yield array
    yield np.asfortranarray(array)
    wide = np.zeros(tuple(3 * n for n in array.shape), array.dtype)
    strided = wide[tuple(slice(0, None, 3) for _ in array.shape)]
    strided[...] = array
    yield strided
    reversed_copy = np.ascontiguousarray(array[tuple(slice(None, None, -1) for _ in array.shape)])
    yield reversed_copy[tuple(slice(None, None, -1) for _ in array.shape)]
    unaligned = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    unaligned[...] = array
    yield unaligned
    record = np.zeros(array.shape, [("pad", np.uint8), ("value", array.dtype)])
    record["value"] = array
    yield record["value"]
    frozen = array.copy()
    frozen.flags.writeable = False
    yield frozen


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape", [(14, 9, 35), (14, 1, 35), (14, 9, 1), (1, 18, 40), (3, 1, 1), (5, 9, 130)]
)
def test_any_layout_of_the_operands(isa, rng, dtype, shape):
    rows, inputs, units = shape
    x, kernel = integers(rng, (rows, inputs), dtype), integers(rng, (inputs, units), dtype)
    bias, grad = integers(rng, units, dtype), integers(rng, (rows, units), dtype)
    y = np.maximum(product(x, kernel) + bias, 0)
    for arrays in zip(*map(layouts, (x, kernel, bias, grad)), strict=True):
        np.testing.assert_array_equal(kernels.dense_forward(*arrays[:3], "relu"), y)
        grad_x, grad_kernel, _ = kernels.dense_backward(arrays[3], *arrays[:3])
        np.testing.assert_array_equal(grad_x, product(grad, kernel.T))
        np.testing.assert_array_equal(grad_kernel, product(x.T, grad))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense(isa, rng, dtype, activation):
    for rows, inputs, units in [(1, 1, 2), (7, 5, 34), (24, 64, 10), (37, 100, 65), (5, 0, 3)]:
        x = rng.normal(size=(rows, inputs)).astype(dtype)
        kernel = (rng.normal(size=(inputs, units)) / np.sqrt(max(inputs, 1))).astype(dtype)
        bias = rng.normal(size=units).astype(dtype)
        if activation == "glu":
            kernel, bias = np.repeat(kernel, 2, axis=1), np.repeat(bias, 2)
        y = kernels.dense_forward(x, kernel, bias, activation)
        assert_close(y, reference.dense_forward(x, kernel, bias, activation))
        if activation == "step":
            continue
        grad = rng.normal(size=(rows, units)).astype(dtype)
        assert y.shape == grad.shape
        expected = reference.dense_backward(grad, x, kernel, bias, activation)
        for given in (None, y):
            actual = kernels.dense_backward(grad, x, kernel, bias, activation, y=given)
            for a, b in zip(actual, expected, strict=True):
                assert_close(a, b, 10)


# `out`


def test_out_is_filled_and_returned(isa, rng):
    x, kernel = integers(rng, (9, 9), "float32"), integers(rng, (9, 9), "float32")
    for out in layouts(np.zeros((9, 9), np.float32)):
        if not out.flags.writeable:
            continue
        assert kernels.dense_forward(x, kernel, out=out) is out
        np.testing.assert_array_equal(out, product(x, kernel))


@pytest.mark.parametrize("which", ["x", "kernel", "overlap"])
def test_out_may_be_an_operand(isa, rng, which):
    x, kernel = integers(rng, (9, 9), "float32"), integers(rng, (9, 9), "float32")
    expected = product(x, kernel)
    out = {"x": x, "kernel": kernel}.get(which)
    if out is None:
        memory = np.zeros((12, 9), np.float32)
        memory[3:] = x
        x, out = memory[3:], memory[:9]
    kernels.dense_forward(x, kernel, out=out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("module", [kernels, reference])
def test_gradients_go_where_they_are_wanted(rng, module):
    x, kernel = integers(rng, (9, 9), "float32"), integers(rng, (9, 9), "float32")
    bias, grad = integers(rng, 9, "float32"), integers(rng, (9, 9), "float32")
    expected = product(grad, kernel.T), product(x.T, grad), grad.sum(axis=0)
    for a, b, c in zip(*(layouts(np.zeros_like(e)) for e in expected), strict=True):
        if not a.flags.writeable:
            continue
        got = module.dense_backward(grad, x, kernel, bias, out=(a, b, c))
        assert got[0] is a
        assert got[1] is b
        assert got[2] is c
        for each, right in zip(got, expected, strict=True):
            np.testing.assert_array_equal(each, right)
    place = np.empty_like(kernel)
    got = module.dense_backward(grad, x, kernel, out=(None, place, None))
    assert got[1] is place
    assert got[2] is None
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize("module", [kernels, reference])
def test_gradients_may_replace_the_operands(rng, module):
    x, kernel = integers(rng, (9, 9), "float32"), integers(rng, (9, 9), "float32")
    bias, grad = integers(rng, 9, "float32"), integers(rng, (9, 9), "float32")
    expected = product(grad, kernel.T), product(x.T, grad), grad.sum(axis=0)
    got = module.dense_backward(grad, x, kernel, bias, out=(x, kernel, bias))
    for each, given, right in zip(got, (x, kernel, bias), expected, strict=True):
        assert each is given
        np.testing.assert_array_equal(each, right)


@pytest.mark.parametrize("module", [kernels, reference])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_gradients_may_replace_the_one_they_come_from(rng, module, which):
    x, kernel = integers(rng, (9, 9), "float32"), integers(rng, (9, 9), "float32")
    grad, bias = integers(rng, (9, 9), "float32"), np.zeros(9, np.float32)
    expected = product(grad, kernel.T), product(x.T, grad), grad.sum(axis=0)
    places = [None, None, None]
    places[which] = grad[0] if which == 2 else grad
    got = module.dense_backward(grad, x, kernel, bias, out=tuple(places))
    for each, right in zip(got, expected, strict=True):
        np.testing.assert_array_equal(each, right)


@pytest.mark.parametrize("activation", ["tanh", "softmax"])
def test_activations_in_place(isa, rng, activation):
    x = rng.normal(size=(5, 37)).astype(np.float32)
    expected = reference.activation_forward(x, activation)
    kernels.activation_forward(x, activation, out=x)
    assert_close(x, expected)


# Activations

MAGNITUDES = [0.0, 1e-40, 1e-30, 0.3, 1, 3, 5, 10, 14, 88, 104, 710, 746, 1e30, np.inf]
SPECIAL = [*MAGNITUDES, *(-m for m in MAGNITUDES), np.nan]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_forward_and_backward(isa, rng, dtype, activation):
    shapes = [(7, 33), (5, 3), (1, 1), (2, 3, 17), (4, 100)]
    if activation == "glu":
        shapes = [(*shape[:-1], 2 * shape[-1]) for shape in shapes]
    arrays = [rng.normal(0, 3, size=shape) for shape in shapes]
    arrays += [np.zeros((0, 4)), np.zeros((3, 0)), np.array(SPECIAL)]
    if activation in ROW_ACTIVATIONS:
        arrays.pop()
        arrays += [np.array([[1e4, -1e4, 0.0, 1.0], [-700.0, -701.0, -702.0, -700.0]])]
    else:
        arrays += [np.array(0.7), np.asfortranarray(arrays[0])[::-1]]
    for x in (array.astype(dtype) for array in arrays):
        y = reference.activation_forward(x, activation)
        assert_close(kernels.activation_forward(x, activation), y)
        if activation != "step":
            grad = rng.normal(size=y.shape).astype(dtype)
            assert_close(
                kernels.activation_backward(grad, x, y, activation),
                reference.activation_backward(grad, x, y, activation),
            )


# One, two and more vectors of each instruction set, whole and with rests; rows beyond a block.
WIDTHS = (1, 2, 3, 4, 5, 7, 8, 9, 10, 15, 16, 17, 20, 31, 32, 33, 50, 64, 65)
MANY_ROWS = 21


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("activation", ["softmax", "log_softmax"])
def test_softmax_of_every_width(isa, rng, activation, width, dtype):
    x = rng.normal(0, 3, size=(MANY_ROWS, width)).astype(dtype)
    x[3, 0], x[5, width // 2], x[18, -1] = -np.inf, np.nan, 80
    y = kernels.activation_forward(x, activation)
    with np.errstate(invalid="ignore"):
        assert_close(y, reference.activation_forward(x, activation))
    alone = [kernels.activation_forward(row[np.newaxis], activation) for row in x]
    np.testing.assert_array_equal(np.concatenate(alone), y)
    kernels.activation_forward(x, activation, out=x)
    np.testing.assert_array_equal(x, y)


OPTIONS = [
    ("relu", {"negative_slope": 0.2}),
    ("relu", {"max_value": 2.5}),
    ("relu", {"threshold": 1.5}),
    ("relu", {"negative_slope": -0.3, "max_value": 3.0, "threshold": 1.0}),
    ("leaky_relu", {"negative_slope": 0.0}),
    ("leaky_relu", {"negative_slope": -0.5}),
    ("elu", {"alpha": 0.0}),
    ("elu", {"alpha": 0.3}),
    ("elu", {"alpha": -0.5}),
    ("celu", {"alpha": 0.3}),
    ("celu", {"alpha": 5.0}),
    ("squareplus", {"b": 0.3}),
    ("squareplus", {"b": 1e-60}),
    ("soft_shrink", {"threshold": 0.0}),
    ("soft_shrink", {"threshold": 1.3}),
    ("hard_shrink", {"threshold": 0.0}),
    ("hard_shrink", {"threshold": 1.3}),
    ("threshold", {"threshold": -1.5, "default_value": 0.5}),
]


def test_options_of_every_activation_that_has_any():
    assert {name for name, _ in OPTIONS} == set(ACTIVATION_OPTIONS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sparsemax_of_infinities(isa, dtype):
    inf, nan = np.inf, np.nan
    x = np.array([[0, -inf, 0.5], [0, inf, 1], [-inf] * 3, [0, nan, 1], [3, 3, 3]], dtype)
    x = np.hstack([x, np.tile(x[:, :1], (1, 40))])
    y = kernels.activation_forward(x, "sparsemax")
    assert_close(y, reference.activation_forward(x, "sparsemax"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("activation", "options"), OPTIONS)
def test_options(isa, rng, activation, options, dtype):
    x, grad = rng.normal(0, 3, size=(2, 9, 21)).astype(dtype)
    y = kernels.activation_forward(x, activation, options=options)
    assert_close(y, reference.activation_forward(x, activation, options=options))
    assert_close(
        kernels.activation_backward(grad, x, y, activation, options=options),
        reference.activation_backward(grad, x, y, activation, options=options),
    )
    kernel = rng.normal(size=(21, 5)).astype(dtype) / 5
    z = kernels.dense_forward(x, kernel, activation=activation, options=options)
    assert_close(z, reference.dense_forward(x, kernel, activation=activation, options=options))
    actual, expected = (
        module.dense_backward(z, x, kernel, activation=activation, options=options)
        for module in (kernels, reference)
    )
    for a, b in zip(actual[:2], expected[:2], strict=True):
        assert_close(a, b, 10)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.0, 1e-12, 1e-9, 1e-8, 1e-7, 1e-3, 0.5])
def test_squareplus_where_squares_overflow(isa, dtype, share):
    """Of numbers around the root of the largest one, with 4 or a share of the largest as b."""
    most = float(np.finfo(dtype).max)
    sizes = np.geomspace(1e-3, 1e3, 25) * most**0.5
    x = np.array([*sizes, *-sizes, most, -most, 0, 1, -1], dtype)
    options = {"b": share * most or 4.0}
    y = kernels.activation_forward(x, "squareplus", options=options)
    assert_close(y, reference.activation_forward(x, "squareplus", options=options))
    assert_close(
        kernels.activation_backward(np.ones_like(x), x, y, "squareplus", options=options),
        reference.activation_backward(np.ones_like(x), x, y, "squareplus", options=options),
    )


# Losses and metrics


def both_losses(y_true, y_pred, loss, options, factor=1.0, weights=None):
    """Compare values and gradients of a loss."""
    arguments = y_true, y_pred, loss
    assert_close(
        kernels.loss_forward(*arguments, **options),
        reference.loss_forward(*arguments, **options),
        factor,
    )
    for sample_weight in (None, weights):
        assert_close(
            kernels.loss_backward(*arguments, sample_weight=sample_weight, **options),
            reference.loss_backward(*arguments, sample_weight=sample_weight, **options),
            10 * factor,
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)
def test_losses(isa, rng, dtype, loss, options):
    for n, k in [(0, 3), (1, 2), (4, 1), (5, 10), (7, 33), (3, 16), (17, 64)]:
        y_true, y_pred = targets_and_predictions(rng, loss, options, n, k, dtype)
        weights = rng.uniform(0, 2, size=n).astype(dtype)
        weights[1::3] = 0
        both_losses(y_true, y_pred, loss, options, weights=weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [width for width in WIDTHS if width > 1])
@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_crossentropies_of_every_width(isa, rng, loss, width, dtype):
    options = {"from_logits": True}
    y_true, y_pred = targets_and_predictions(rng, loss, options, MANY_ROWS, width, dtype)
    if y_true.ndim == 1:
        y_true[:3] = 0, width // 2, width - 1
    both_losses(y_true, y_pred, loss, options)
    values = kernels.loss_forward(y_true, y_pred, loss, **options)
    slopes = kernels.loss_backward(y_true, y_pred, loss, **options)
    for row in (slice(i, i + 1) for i in range(MANY_ROWS)):
        alone = y_true[row], y_pred[row], loss
        np.testing.assert_array_equal(kernels.loss_forward(*alone, **options), values[row])
        np.testing.assert_array_equal(kernels.loss_backward(*alone, **options), slopes[row])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("loss", "options"), CASES, ids=IDS)
def test_losses_of_special_predictions(isa, rng, dtype, loss, options):
    """Saturated and clipped probabilities, zeros, perfect predictions, and what is not finite."""
    y_true, y_pred = targets_and_predictions(rng, loss, options, 10, 5, dtype)
    for row, value in enumerate([0.0, 1.0, -1.0, 1e-7, 1 - 1e-7, 30.0, -30.0]):
        y_pred[row] = value
    if y_pred.shape == y_true.shape:
        y_pred[7] = y_true[7]
    if loss == "cosine_similarity":
        y_true[8], y_true[9], y_pred[9] = 0, 0, 0
    both_losses(y_true, y_pred, loss, options)
    is_probability = "categorical" in loss and not options.get("from_logits")
    for value in (np.nan,) if is_probability else (np.nan, np.inf, -np.inf):
        y_pred[1, 2] = value
        native, plain = (
            module.loss_forward(y_true, y_pred, loss, **options)[1]
            for module in (kernels, reference)
        )
        assert np.isfinite(native) == np.isfinite(plain)
        if np.isnan(value):
            assert np.isnan(native)
            assert np.isnan(kernels.loss_backward(y_true, y_pred, loss, **options)[1, 2])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("metric", METRICS)
def test_metrics(isa, rng, dtype, metric):
    for n, k in [(0, 3), (1, 1), (9, 5), (7, 33)]:
        y_pred = rng.integers(-2, 3, size=(n, k)).astype(dtype)  # ties, too
        y_true = rng.integers(0, 2, size=(n, k)).astype(dtype)
        if metric.startswith("sparse"):
            y_true = rng.integers(0, k, size=n).astype(np.int32)
        assert_close(
            kernels.metric_values(y_true, y_pred, metric),
            reference.metric_values(y_true, y_pred, metric),
        )


@pytest.mark.parametrize("metric", [m for m in METRICS if "categorical" in m])
def test_nan_counts_as_the_largest(isa, metric):
    y_pred = np.array([[1, np.nan, 2], [3, 1, 2], [np.nan, 1, np.nan]])
    y_true = np.array([[0, 1, 0], [0, 1, 0], [1, 0, 0]], float)
    if metric.startswith("sparse"):
        y_true = y_true.argmax(axis=1).astype(np.int32)
    np.testing.assert_array_equal(kernels.metric_values(y_true, y_pred, metric), [1, 0, 1])


# Optimizer steps and dropout

UPDATES = [
    ("sgd", 0, {}),
    ("sgd", 1, {"momentum": 0.9}),
    ("sgd", 1, {"momentum": 0.9, "nesterov": True}),
    ("rmsprop", 1, {"rho": 0.8}),
    ("rmsprop", 2, {"momentum": 0.9}),
    ("adagrad", 1, {}),
    ("adam", 2, {"step": 1}),
    ("adam", 2, {"step": 1000, "beta_1": 0.8}),
    ("adam", 3, {"step": 3}),
    ("rmsprop", 3, {"rho": 0.8, "epsilon": 1.0, "momentum": 0.9}),
    ("adadelta", 2, {}),
    ("adadelta", 2, {"rho": 0.7, "epsilon": 0.01}),
    ("adamax", 2, {"step": 1}),
    ("adamax", 2, {"step": 1000, "beta_1": 0.8, "beta_2": 0.7}),
    ("nadam", 2, {"step": 1, "momentum_product": 0.468}),
    ("nadam", 2, {"step": 1000, "beta_1": 0.8, "momentum_product": 0.0}),
    ("ftrl", 2, {}),
    ("ftrl", 2, {"l1_regularization_strength": 0.4, "l2_regularization_strength": 0.2}),
    ("ftrl", 2, {"beta": 0.3, "l2_shrinkage_regularization_strength": 0.1}),
    ("ftrl", 2, {"learning_rate_power": -0.7}),
    ("ftrl", 2, {"learning_rate_power": 0.0}),
    ("lion", 1, {}),
    ("lion", 1, {"beta_1": 0.3, "beta_2": 0.6}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "slots", "options"), UPDATES)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_updates(isa, rng, dtype, name, slots, options, weight_decay):
    for shape in [(0,), (1,), (37,), (5, 33)]:
        native = [rng.normal(size=shape), rng.normal(size=shape)]
        native += [rng.uniform(0.1, 1, size=shape) for _ in range(slots)]
        native = [array.astype(dtype) for array in native]
        plain = [array.copy() for array in native]
        for module, arrays in ((kernels, native), (reference, plain)):
            step = getattr(module, name)
            step(*arrays, learning_rate=0.01, weight_decay=weight_decay, **options)
        for a, b in zip(native, plain, strict=True):
            # Ftrl adds differences of roots, divided by the learning rate.
            assert_close(a, b, 10 if name == "ftrl" else 1)


@pytest.mark.parametrize(("name", "slots", "options"), UPDATES)
def test_extreme_gradients_have_the_same_effect(isa, name, slots, options):
    gradient = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e100, 1e-200, 1.0])
    native = [np.ones(8), gradient, *(np.full(8, 0.5) for _ in range(slots))]
    plain = [array.copy() for array in native]
    for module, arrays in ((kernels, native), (reference, plain)):
        getattr(module, name)(*arrays, learning_rate=0.01, **options)
    for a, b in zip(native, plain, strict=True):
        assert_close(a, b)


@pytest.mark.parametrize("epsilon", [0.0, 1e-7, 1e-3, 1.0])
def test_steps_of_adam_are_right_to_the_last_places(isa, rng, epsilon):
    square = np.exp(rng.uniform(np.log(1e-37), np.log(1e37), 200_000)).astype(np.float32)
    mean = rng.uniform(1, 2, square.size).astype(np.float32)
    parameter, gradient = np.zeros((2, square.size), np.float32)
    rate_of_1 = {"learning_rate": 1.0, "beta_1": 0.5, "beta_2": 0.75, "step": 1}
    kernels.adam(parameter, gradient, mean, square, epsilon=epsilon, **rate_of_1)
    exact = -mean / (np.sqrt(square.astype(np.float64)) + np.float32(epsilon))
    error = np.abs(parameter - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert error.max() <= 2.8


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("epsilon", [0.0, 1e-7])
def test_extreme_moments_of_adam_concern_their_weight_alone(isa, dtype, epsilon):
    huge, tiny = (1e30, 1e-25) if dtype == "float32" else (1e200, 1e-170)  # their squares are not
    gradient = np.array([0, 1, huge, -2, np.nan, tiny, np.inf, 0, *range(2, 30)], dtype)

    def step(adam, gradient):
        arrays = np.zeros((3, gradient.size), dtype)
        adam(arrays[0], gradient, *arrays[1:], learning_rate=0.1, step=1, epsilon=epsilon)
        return arrays

    together = step(kernels.adam, gradient)
    alone = [step(kernels.adam, gradient[i : i + 1]) for i in range(gradient.size)]
    np.testing.assert_array_equal(together, np.hstack(alone))
    assert_close(together, step(reference.adam, gradient))


@pytest.mark.parametrize("dtype", DTYPES)
def test_centred_rmsprop_needs_no_velocity(isa, rng, dtype):
    native = [rng.normal(size=37).astype(dtype) for _ in range(2)]
    native += [np.ones(37, dtype), None, np.zeros(37, dtype)]
    plain = [None if array is None else array.copy() for array in native]
    for module, arrays in ((kernels, native), (reference, plain)):
        module.rmsprop(*arrays, learning_rate=0.01)
    for index in (0, 2, 4):
        assert_close(native[index], plain[index])


# Constraints and penalties

SHAPES = [(0, 3), (3, 0), (1, 1), (1, 5), (5, 1), (13, 17), (33, 64), (64, 33), (65, 130), (300, 7)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (7,), (0,), (3, 4, 5)])
def test_constraints(isa, rng, dtype, shape):
    w = rng.normal(size=shape).astype(dtype)
    w[..., :1] = 0  # a vector of length 0
    calls = [
        ("non_neg", {}),
        ("min_max_norm", {"max_value": 0.5}),
        ("min_max_norm", {"min_value": 1.0, "max_value": 2.0, "rate": 0.3}),
        ("min_max_norm", {"min_value": 3.0, "max_value": 3.0}),
    ]
    for name, options in calls:
        native, plain = w.copy(), w.copy()
        getattr(kernels, name)(native, **options)
        getattr(reference, name)(plain, **options)
        assert_close(native, plain)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [*SHAPES, (), (0,), (1,), (63,), (64,), (200,), (70_001,)])
def test_all_finite_finds_a_single_value_anywhere(isa, rng, dtype, shape):
    x = np.asarray(rng.uniform(-1, 1, shape) * np.finfo(dtype).max, dtype)
    assert kernels.all_finite(x) is reference.all_finite(x) is True
    places = range(x.size) if x.size < 1000 else rng.integers(x.size, size=50)
    for place in places:
        for value in (np.nan, np.inf, -np.inf):
            bad = x.copy()
            bad.flat[place] = value
            assert kernels.all_finite(bad) is reference.all_finite(bad) is False


def test_all_finite_takes_arrays_with_gaps_and_of_any_order(isa):
    x = np.full((40, 30), np.nan)
    x[::2, 1::3] = 1.0
    assert kernels.all_finite(x[::2, 1::3])
    assert kernels.all_finite(x[::2, 1::3].T)
    assert not kernels.all_finite(x[::2, ::3])


@pytest.mark.parametrize("name", ["non_neg", "min_max_norm"])
def test_constraints_keep_nan_to_its_vector(isa, name):
    w = np.array([[np.nan, 3.0], [-1.0, -4.0]])
    expected = w.copy()
    getattr(kernels, name)(w)
    getattr(reference, name)(expected)
    np.testing.assert_array_equal(w, expected)
    assert np.isnan(w[0, 0])
    assert np.isfinite(w[:, 1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("shape", [*SHAPES, (7, 300), (513, 20)])
def test_orthogonal_penalty(isa, rng, dtype, mode, shape):
    w = rng.normal(size=shape).astype(dtype)
    w[:1] = 0  # a row of length 0
    options = {"factor": 0.5, "mode": mode}
    expected = reference.orthogonal_penalty(w, **options)
    assert kernels.orthogonal_penalty(w, **options) == pytest.approx(
        expected, rel=TOLERANCE[dtype], abs=TOLERANCE[dtype]
    )
    assert_close(
        kernels.orthogonal_gradient(w, **options), reference.orthogonal_gradient(w, **options)
    )


def test_orthogonal_penalty_is_the_same_for_any_number_of_threads(rng):
    w = rng.normal(size=(300, 200))
    results = []
    for threads in (1, 2, 3):
        with use_threads(threads):
            gradient = kernels.orthogonal_gradient(w)
            results.append((kernels.orthogonal_penalty(w), gradient.tobytes()))
    assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [0, 1, 3, 4, 5, 63, 64, 65, 130])
def test_dropout_masks_are_the_same(isa, rng, dtype, width):
    x = rng.normal(size=(5, width)).astype(dtype)
    for rate, seed, step in [(0.0, 0, 0), (0.3, 2**64 - 1, 2**40 + 7), (0.9, 5, 1)]:
        np.testing.assert_array_equal(
            kernels.dropout(x, rate, seed, step), reference.dropout(x, rate, seed, step)
        )


def unaligned(array):
    """The same numbers, contiguous, one byte off their natural place."""
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    assert not memory.flags.aligned
    return memory


@pytest.mark.parametrize("dtype", DTYPES)
def test_unaligned_arrays(isa, rng, dtype):
    a, b, c, d = (rng.uniform(0.1, 0.9, size=(5, 9)).astype(dtype) for _ in range(4))
    weights = a[:, 0]
    calls = [
        ("activation_forward", (a, "tanh")),
        ("activation_backward", (a, b, c, "gelu")),
        ("softmax", (a,)),
        ("dropout", (a, 0.3, 1, 2)),
        ("loss_forward", (a, b, "binary_crossentropy")),
        ("metric_values", (a, b, "mean_squared_error")),
    ]
    for name, args in calls:
        kernel = getattr(kernels, name)
        moved = [unaligned(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
        np.testing.assert_array_equal(kernel(*moved), kernel(*args))
    np.testing.assert_array_equal(
        kernels.loss_backward(
            unaligned(a), unaligned(b), "huber", sample_weight=unaligned(weights)
        ),
        kernels.loss_backward(a, b, "huber", sample_weight=weights),
    )
    moved = [unaligned(array) for array in (a, b, c, d)]
    for arrays in (moved, (a, b, c, d)):
        kernels.adam(*arrays, learning_rate=0.1, step=3)
    for changed, expected in zip(moved, (a, b, c, d), strict=True):
        np.testing.assert_array_equal(changed, expected)
    for name in ("orthogonal_penalty", "orthogonal_gradient"):
        kernel = getattr(kernels, name)
        np.testing.assert_array_equal(kernel(unaligned(a)), kernel(a))
    for name in ("non_neg", "min_max_norm"):
        changed, expected = unaligned(a - 0.5), a - 0.5
        getattr(kernels, name)(changed)
        getattr(kernels, name)(expected)
        np.testing.assert_array_equal(changed, expected)


# Bad arguments: the same exception with the same message

X, W, B = np.zeros((3, 4)), np.zeros((4, 2)), np.zeros(2)
BAD_CALLS = [
    ("dense_forward", (X, np.zeros((5, 2))), {}),
    ("dense_forward", (X[0], W), {}),
    ("dense_forward", (X, W, np.zeros(3)), {}),
    ("dense_forward", (X, W.astype(np.float32)), {}),
    ("dense_forward", (X.astype(int), W.astype(int)), {}),
    ("dense_forward", (X.tolist(), W), {}),
    ("dense_forward", (X, W, B, "rleu"), {}),
    ("dense_forward", (X, W, B, "tanh"), {"options": {"alpha": 0.1}}),
    ("dense_forward", (X, W), {"out": np.zeros((3, 3))}),
    ("dense_forward", (X, W), {"out": np.zeros((3, 2), np.float32)}),
    ("dense_backward", (X, X, W), {}),
    ("dense_backward", (np.zeros((3, 2)), X, W, B, "step"), {}),
    ("activation_forward", (X, "tahn"), {}),
    ("activation_forward", (np.float64(1.0), "tanh"), {}),
    ("activation_backward", (X, X, X, "step"), {}),
    ("softmax", (np.zeros(()),), {}),
    ("activation_forward", (np.zeros((2, 3)), "glu"), {}),
    ("activation_forward", (X, "glu"), {"out": np.zeros((3, 4))}),
    ("activation_backward", (X, X, X, "glu"), {}),
    ("activation_forward", (X, "relu"), {"options": {"max_value": -1.0}}),
    ("activation_forward", (X, "celu"), {"options": {"alpha": 0.0}}),
    ("activation_forward", (X, "celu"), {"options": {"beta": 1.0}}),
    ("dense_forward", (X, np.zeros((4, 3)), None, "glu"), {}),
    ("dense_forward", (X, W, B, "glu"), {"out": np.zeros((3, 2))}),
    ("dense_backward", (np.zeros((3, 2)), X, W, B, "glu"), {}),
    ("loss_forward", (X, W, "mean_squared_error"), {}),
    ("loss_forward", (X, X, "mean_square_error"), {}),
    ("loss_forward", (np.array([0, 4, 1], np.int32), X, "sparse_categorical_crossentropy"), {}),
    ("loss_backward", (X, X, "hinge"), {"sample_weight": np.zeros(4)}),
    ("loss_backward", (X, X, "hinge"), {"quantile": 0.1}),
    ("loss_backward", (X, X, "hinge"), {"quantlie": 0.1}),
    ("loss_backward", (X, X, "gaussian_nll"), {}),
    ("loss_backward", (X[:, :1], X[:, :3], "gaussian_nll"), {}),
    ("metric_values", (X, X, "acuracy"), {}),
    ("dropout", (X, 1.0, 0, 0), {}),
    ("dropout", (X, 0.5, -1, 0), {}),
    ("sgd", (np.zeros(3), np.zeros(4)), {"learning_rate": 0.1}),
    ("sgd", (np.zeros(3), np.zeros(3)), {"learning_rate": 0.1, "momentum": 0.9}),
    ("sgd", (np.zeros(3), np.zeros(3)), {"learning_rate": np.nan}),
    ("adam", (np.zeros(3), *np.zeros((3, 3))), {"learning_rate": 0.1, "step": 0}),
    ("adam", (*np.zeros((4, 3)), np.zeros(4)), {"learning_rate": 0.1, "step": 1}),
    ("rmsprop", (*np.zeros((3, 3)), None, np.zeros(3, np.float32)), {"learning_rate": 0.1}),
    ("adadelta", (*np.zeros((3, 3)), np.zeros(2)), {"learning_rate": 0.1}),
    ("adamax", tuple(np.zeros((4, 3))), {"learning_rate": 0.1, "step": 1, "beta_1": 1.0}),
    ("nadam", tuple(np.zeros((4, 3))), {"learning_rate": 0.1, "step": 1, "momentum_product": 1}),
    ("ftrl", tuple(np.zeros((4, 3))), {"learning_rate": 0.1, "learning_rate_power": 0.5}),
    ("lion", (*np.zeros((2, 3)), None), {"learning_rate": 0.1}),
    ("adam", (np.zeros(3), None, *np.zeros((2, 3))), {"learning_rate": 0.1, "step": 1}),
    ("all_finite", (np.zeros(3, int),), {}),
    ("all_finite", ([1.0],), {}),
    ("all_finite", (None,), {}),
    ("activation_forward", (None, "relu"), {}),
    ("activation_backward", (X, None, X, "silu"), {}),
    ("activation_backward", (None, X, X, "relu"), {}),
    ("activation_backward", (X, X, None, "relu"), {}),
    ("dense_forward", (None, X), {}),
    ("dense_forward", (X, None), {}),
    ("dense_backward", (None, X, B), {}),
    ("dense_backward", (X, X, None), {}),
    ("dropout", (None, 0.5, 0, 0), {}),
    ("loss_forward", (X, None, "mean_squared_error"), {}),
    ("loss_forward", (None, X, "mean_squared_error"), {}),
    ("metric_values", (X, None, "binary_accuracy"), {}),
    ("non_neg", (None,), {}),
    ("orthogonal_penalty", (None,), {}),
    ("permutation", (-1, 0), {}),
    ("permutation", (2**32, 0), {}),
    ("permutation", (3.0, 0), {}),
    ("permutation", (3, -1), {}),
    ("permutation", (3, 2**64), {}),
    ("permutation", (3, None), {}),
    ("permutation", (3, np.arange(4)), {}),
    ("permutation", (3, np.zeros((2, 2), np.uint64)), {}),
    ("permutation", (-1, np.zeros(2, np.uint64)), {}),
    ("non_neg", (np.zeros(()),), {}),
    ("non_neg", ([1.0],), {}),
    ("non_neg", (np.zeros((3, 4)).T,), {}),
    ("min_max_norm", (np.zeros(3, int),), {}),
    ("min_max_norm", (np.broadcast_to(1.0, 3),), {}),
    ("min_max_norm", (np.zeros(3),), {"min_value": 2.0}),
    ("min_max_norm", (np.zeros(3),), {"max_value": np.nan}),
    ("min_max_norm", (np.zeros(3),), {"rate": 1.5}),
    ("orthogonal_penalty", (B,), {}),
    ("orthogonal_penalty", (X,), {"factor": -1.0}),
    ("orthogonal_gradient", (X,), {"mode": "row"}),
    ("orthogonal_gradient", (X.tolist(),), {}),
]


# Random orders


@pytest.mark.parametrize("n", [0, 1, 2, 3, 17, 64, 70_000])
@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
def test_permutation(n, seed):
    order = kernels.permutation(n, seed)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(order, reference.permutation(n, seed))
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("n", [0, 1, 3, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_permutations_of_many_seeds(n, count):
    seeds = np.random.default_rng(0).integers(2**64, size=2 * count, dtype=np.uint64)[::2]
    orders = kernels.permutation(n, seeds)
    assert orders.shape == (count, n)
    assert orders.dtype == np.int64
    np.testing.assert_array_equal(orders, reference.permutation(n, seeds))
    for order, seed in zip(orders, seeds, strict=True):
        np.testing.assert_array_equal(order, kernels.permutation(n, int(seed)))


def test_permutations_of_four_are_equally_likely():
    drawn = Counter(tuple(kernels.permutation(4, seed)) for seed in range(24_000))
    counts = np.array(list(drawn.values()))
    assert len(counts) == 24
    # Chi-squared of 23 degrees of freedom exceeds 58 once in 14,000 times.
    assert ((counts - 1000) ** 2 / 1000).sum() < 58


def test_every_number_comes_to_every_place():
    orders = np.array([kernels.permutation(300, seed) for seed in range(2000)])
    # Means of 2,000 uniform numbers from 0 to 299: their standard deviation is 1.94.
    assert abs(orders.mean(axis=0) - 149.5).max() < 5 * 1.94


@pytest.mark.parametrize(("name", "args", "options"), BAD_CALLS)
def test_bad_arguments_fail_alike(name, args, options):
    with pytest.raises((TypeError, ValueError)) as expected:
        getattr(reference, name)(*args, **options)
    with pytest.raises(type(expected.value)) as actual:
        getattr(kernels, name)(*args, **options)
    assert str(actual.value) == str(expected.value)
