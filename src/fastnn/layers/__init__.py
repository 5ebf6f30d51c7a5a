"""Layers: what a network is made of.

A layer is a declaration. It says which weights it needs (`build`), which shape comes out
(`compute_output_shape`) and which ops of the flat program it stands for (`lower`); it computes
nothing itself. Shapes are written as in Keras, with None for the number of samples:
``(None, 64)``. A layer of your own computes in NumPy: see `Layer`.

Each can be called on an array by itself:

>>> from fastnn.layers import UnitNormalization
>>> UnitNormalization()([[3.0, 4.0]])
array([[0.6, 0.8]], dtype=float32)
"""

from __future__ import annotations

from fastnn._registry import Registry
from fastnn.layers._layer import Layer, Shape, assign_weights, build_layers, check_dtype
from fastnn.layers.activations import ELU, LeakyReLU, ReLU, Softmax
from fastnn.layers.core import Activation, Dense, Flatten, Input, Reshape, is_identity
from fastnn.layers.embedding import CategoricalEmbedding, Embedding
from fastnn.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
    UnitNormalization,
)
from fastnn.layers.recurrent import SimpleRNN
from fastnn.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
)
from fastnn.layers.residual import Residual
from fastnn.layers.units import Maxout, PReLU

_CLASSES: tuple[type[Layer], ...] = (
    ELU,
    Activation,
    ActivityRegularization,
    AlphaDropout,
    BatchNormalization,
    CategoricalEmbedding,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GaussianDropout,
    GaussianNoise,
    Input,
    LayerNormalization,
    LeakyReLU,
    Maxout,
    Normalization,
    PReLU,
    ReLU,
    RMSNormalization,
    Rescaling,
    Reshape,
    Residual,
    SimpleRNN,
    Softmax,
    UnitNormalization,
)

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "CategoricalEmbedding",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Maxout",
    "Normalization",
    "PReLU",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Residual",
    "Shape",
    "SimpleRNN",
    "Softmax",
    "UnitNormalization",
    "assign_weights",
    "build_layers",
    "check_dtype",
    "deserialize",
    "get",
    "is_identity",
    "serialize",
]

_registry: Registry[Layer] = Registry("layer", Layer, {cls.__name__: cls for cls in _CLASSES})
get = _registry.get
serialize = _registry.serialize
deserialize = _registry.deserialize
