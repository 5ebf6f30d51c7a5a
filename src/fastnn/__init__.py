"""Multilayer perceptrons at the speed of the processor.

Built as in Keras, used with NumPy arrays::

    from fastnn import Sequential
    from fastnn.layers import Dense

    model = Sequential([Dense(64, activation="relu"), Dense(10, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=10)
    model.predict(x)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastnn import (
    activations,
    callbacks,
    constraints,
    initializers,
    layers,
    losses,
    models,
    optimizers,
    regularizers,
    utils,
)
from fastnn._config import (
    available_isas,
    get_num_threads,
    set_num_threads,
    show_config,
    use_isa,
    use_threads,
)
from fastnn._many import fit_many
from fastnn._version import __version__
from fastnn.callbacks import History
from fastnn.layers import Input
from fastnn.models import Sequential
from fastnn.perceptron import NotSeparableWarning, Perceptron

if TYPE_CHECKING:
    from fastnn import datasets, diagnosis, kernels, metrics, plotting, reference
    from fastnn._gradient_check import check_gradients

__all__ = [
    "History",
    "Input",
    "NotSeparableWarning",
    "Perceptron",
    "Sequential",
    "__version__",
    "activations",
    "available_isas",
    "callbacks",
    "check_gradients",
    "constraints",
    "datasets",
    "diagnosis",
    "fit_many",
    "get_num_threads",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "plotting",
    "reference",
    "regularizers",
    "set_num_threads",
    "show_config",
    "use_isa",
    "use_threads",
    "utils",
]

_MODULES_ON_USE = ("datasets", "diagnosis", "kernels", "metrics", "plotting", "reference")
"""Modules that are imported where a program needs them."""


def __getattr__(name: str) -> Any:
    if name in _MODULES_ON_USE:
        return import_module(f"fastnn.{name}")
    if name == "check_gradients":
        return import_module("fastnn._gradient_check").check_gradients
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
