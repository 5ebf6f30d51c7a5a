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
    datasets,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    reference,
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
    from fastnn import diagnosis, plotting
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

_IMPORTED_ON_USE = {
    "check_gradients": "fastnn._gradient_check",
    "diagnosis": "fastnn.diagnosis",
    "plotting": "fastnn.plotting",
}
"""What few programs need, and the modules in which it is."""


def __getattr__(name: str) -> Any:
    if name not in _IMPORTED_ON_USE:
        raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
    module = import_module(_IMPORTED_ON_USE[name])
    return getattr(module, name, module)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
