"""Those who are timed with networks and layers: fastnn, and what one could take instead.

Each builds the same network from the same weights, predicts probabilities with one call, and
trains for one epoch in the fastest way that its users have: NumPy arrays in, rows shuffled. A
library is imported when its contender is made; one that is not installed raises ImportError.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from contenders.protocol import Contender, LayerContender

CLASSES = {
    "fastnn": "fastnn_network.FastnnNetwork",
    "NumPy": "numpy_network.NumpyNetwork",
    "PyTorch": "torch_network.TorchNetwork",
    "PyTorch compiled": "torch_network.CompiledTorchNetwork",
    "JAX": "jax_network.JaxNetwork",
    "Keras": "keras_network.KerasNetwork",
    "scikit-learn": "sklearn_network.SklearnNetwork",
    "ONNX Runtime": "onnx_network.OnnxNetwork",
    "OpenVINO": "openvino_network.OpenvinoNetwork",
}

PREDICTING = tuple(CLASSES)
TRAINING = tuple(name for name in CLASSES if name not in ("ONNX Runtime", "OpenVINO"))

LAYER_CLASSES = {
    "fastnn": "fastnn_layer.FastnnLayer",
    "NumPy": "numpy_layer.NumpyLayer",
    "PyTorch": "torch_layer.TorchLayer",
    "JAX": "jax_layer.JaxLayer",
}


def load(name: str) -> type[Contender]:
    """Return the class of a contender."""
    return _loaded(CLASSES[name])


def load_layer(name: str) -> type[LayerContender]:
    """Return the class of one that computes a single layer."""
    return _loaded(LAYER_CLASSES[name])


def _loaded(path: str) -> Any:
    module, _, cls = path.partition(".")
    return getattr(import_module(f"contenders.{module}"), cls)
