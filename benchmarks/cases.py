"""What is compared: the rows of all tables, and who takes part in each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from contenders import LAYER_CLASSES, PREDICTING, TRAINING
from networks import (
    FIT_BATCH,
    FIT_EPOCHS,
    FITTED,
    PREDICTED,
    PREDICTED_BATCHES,
    TRAINED,
    TRAINED_BATCHES,
    case_name,
    prediction_flops,
    training_flops,
)
from single_layers import (
    ACTIVATIONS,
    NORMALISATIONS,
    NOTHING,
    OF_TRAINING,
    RECURRENT_WIDTHS,
    TABLE_COLUMNS,
    UNITS,
    WIDTHS,
)

LIMITS = ("peak", "tile")
KERNELS = ("fastnn", "fastnn float64", "OpenBLAS", *LIMITS)
LAYERS = ("fastnn", "NumPy", *LIMITS)

SQUARES = tuple((n, n, n) for n in (8, 16, 32, 64, 128, 256, 512, 1024, 2048))

# rows, inputs, units: layers of the networks that are timed as a whole
FORWARD_SHAPES = (
    (1, 64, 64),
    (1, 784, 256),
    (1, 1024, 1024),
    (32, 64, 64),
    (32, 784, 256),
    (128, 784, 256),
    (128, 1024, 1024),
    (4096, 64, 10),
    (4096, 64, 64),
    (4096, 784, 256),
    (4096, 1024, 1024),
)
BACKWARD_SHAPES = (
    (8, 8, 8),  # the cost of a call
    (1, 784, 256),
    (32, 64, 64),
    (32, 784, 256),
    (32, 1024, 1024),
    (128, 64, 64),
    (128, 784, 128),
    (128, 784, 256),
    (128, 1024, 1024),
    (1024, 64, 64),
    (1024, 784, 256),
    (1024, 1024, 1024),
    (4096, 784, 256),
)

FUNCTIONS = (
    *("exponential", "tanh", "sigmoid", "gelu", "silu", "softplus"),
    *("elu", "mish", "log_sigmoid", "squareplus", "tanh_shrink", "all_finite"),
)
LENGTHS = (1_000, 100_000)

LOSSES = (
    "huber",
    "log_cosh",
    "gaussian_nll",
    "binary_crossentropy",
    "categorical_crossentropy",
    "cosine_similarity",
)
LOSS_SHAPES = ((128, 64), (128, 1024))

ORDERS = (100, 4_096, 60_000)

READ_BYTES = (256 << 10, 256 << 20)
"""An array that fits into the caches of one core, and one that fits into none."""


@dataclass(frozen=True)
class Case:
    """One row of a table: the same work for each contender.

    Attributes
    ----------
    task : str
        Which table.
    name : str
        Which row.
    parameters : tuple
        What the maker of the job takes; see `jobs.make`.
    contenders : tuple of str
        Who takes part if present.
    flops : int
        Floating-point operations in matrix products of one step, or 0 if there are none.
    moved : int
        Bytes of all operands, where that is of interest.
    """

    task: str
    name: str
    parameters: tuple[Any, ...]
    contenders: tuple[str, ...]
    flops: int = 0
    moved: int = 0


def _shape_name(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _kernels() -> Iterator[Case]:
    for rows, inputs, units in SQUARES + FORWARD_SHAPES:
        moved = 4 * (rows * inputs + inputs * units + rows * units)
        shape = rows, inputs, units
        flops = 2 * rows * inputs * units
        yield Case("kernels", _shape_name(shape), shape, KERNELS, flops, moved)


def _bandwidth() -> Iterator[Case]:
    for size in READ_BYTES:
        name = f"read {size >> 10} KiB" if size < 1 << 20 else f"read {size >> 20} MiB"
        yield Case("bandwidth", name, (size,), ("memory",), moved=size)


def _forward() -> Iterator[Case]:
    for shape in SQUARES + FORWARD_SHAPES:
        rows, inputs, units = shape
        flops = 2 * rows * inputs * units
        yield Case("forward", _shape_name(shape), shape, LAYERS, flops)


def _backward() -> Iterator[Case]:
    for shape in BACKWARD_SHAPES:
        rows, inputs, units = shape
        flops = 4 * rows * inputs * units
        yield Case("backward", _shape_name(shape), shape, LAYERS, flops)


def _elementwise() -> Iterator[Case]:
    for function in FUNCTIONS:
        for dtype in ("float32", "float64"):
            for length in LENGTHS:
                name = f"{function}, {dtype} x {length:,}"
                parameters = function, dtype, length
                yield Case("elementwise", name, parameters, ("fastnn", "NumPy"))


def _losses() -> Iterator[Case]:
    for loss in LOSSES:
        for shape in LOSS_SHAPES:
            name = f"{loss}, {_shape_name(shape)}"
            yield Case("losses", name, (loss, *shape), ("fastnn", "NumPy", "PyTorch"))


def _orders() -> Iterator[Case]:
    for length in ORDERS:
        yield Case("orders", f"{length:,}", (length,), ("fastnn", "NumPy", "PyTorch"))


def _predict() -> Iterator[Case]:
    for sizes in PREDICTED:
        for batch_size in PREDICTED_BATCHES:
            name = case_name(sizes, batch_size)
            flops = prediction_flops(sizes, batch_size)
            contenders = (*PREDICTING, *LIMITS)
            yield Case("predict", name, (sizes, batch_size), contenders, flops)


def _predict_method() -> Iterator[Case]:
    for sizes in PREDICTED:
        name = case_name(sizes, 1)
        yield Case("predict method", name, (sizes, 1), PREDICTING)


def _train() -> Iterator[Case]:
    for sizes in TRAINED:
        for batch_size in TRAINED_BATCHES:
            name = case_name(sizes, batch_size)
            flops = training_flops(sizes, batch_size)
            yield Case("train", name, (sizes, batch_size), (*TRAINING, *LIMITS), flops)


def _fit() -> Iterator[Case]:
    for sizes, rows in FITTED:
        name = f"{case_name(sizes, FIT_BATCH)}, {rows:,} rows"
        yield Case("fit", name, (sizes, rows, FIT_BATCH, FIT_EPOCHS), TRAINING)


def _layers(kinds: tuple[str, ...]) -> Iterator[tuple[str, int]]:
    """Yield kinds and widths; those of an embedding follow from its table."""
    for kind in kinds:
        yield from ((kind, width) for width in WIDTHS)
    yield "Embedding", TABLE_COLUMNS
    yield from (("SimpleRNN", width) for width in RECURRENT_WIDTHS)


def _layer_forward() -> Iterator[Case]:
    for layer in _layers((*NORMALISATIONS, *UNITS, *ACTIVATIONS)):
        yield Case("layer forward", _layer_name(*layer), layer, tuple(LAYER_CLASSES))


def _layer_training() -> Iterator[Case]:
    for layer in _layers((NOTHING, *NORMALISATIONS, *UNITS, *OF_TRAINING, *ACTIVATIONS)):
        yield Case("layer training", _layer_name(*layer), layer, tuple(LAYER_CLASSES))


def _layer_name(kind: str, width: int) -> str:
    return f"{kind}, {width}"


_MAKERS = {
    "kernels": _kernels,
    "bandwidth": _bandwidth,
    "forward": _forward,
    "backward": _backward,
    "elementwise": _elementwise,
    "losses": _losses,
    "orders": _orders,
    "layer forward": _layer_forward,
    "layer training": _layer_training,
    "predict": _predict,
    "predict method": _predict_method,
    "train": _train,
    "fit": _fit,
}
TASKS = tuple(_MAKERS)
FOR_ONE_THREAD = ("kernels", "bandwidth")  # what fastnn's threads do not reach


def cases(task: str) -> list[Case]:
    """Return the rows of a table."""
    return list(_MAKERS[task]())


def quick_cases(task: str) -> list[Case]:
    """Return a few small ones, to see that everything works."""
    few = [case for case in cases(task) if case.flops < 5e6 and case.moved < 1e8]
    return few[:: max(1, len(few) // 3)][:3]
