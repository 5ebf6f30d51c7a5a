"""Those who are timed with whole networks: fastnn, and the libraries one could take instead.

Each builds the same network from the same weights, predicts probabilities with one call, and
trains for one epoch in the fastest way that its users have: NumPy arrays in, rows shuffled. A
library is imported when its contender is made; one that is not installed raises ImportError.
"""

from __future__ import annotations

from importlib import import_module

from contenders.protocol import Contender

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


def load(name: str) -> type[Contender]:
    """Return the class of a contender."""
    module, _, cls = CLASSES[name].partition(".")
    return getattr(import_module(f"contenders.{module}"), cls)
