"""Layers: what a network is made of.

A layer is a declaration. It says which weights it needs (`build`), which shape comes out
(`compute_output_shape`) and which ops of the flat program it stands for (`lower`); it computes
nothing itself. Shapes are written as in Keras, with None for the number of samples:
``(None, 64)``.
"""

from __future__ import annotations

from fastnn._registry import Registry
from fastnn.layers._layer import Layer, Shape, assign_weights, build_layers, check_dtype
from fastnn.layers.core import Activation, Dense, Flatten, Input, is_identity
from fastnn.layers.regularization import Dropout

__all__ = [
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Input",
    "Layer",
    "Shape",
    "assign_weights",
    "build_layers",
    "check_dtype",
    "deserialize",
    "get",
    "is_identity",
    "serialize",
]

_registry: Registry[Layer] = Registry(
    "layer", Layer, {cls.__name__: cls for cls in (Input, Dense, Activation, Dropout, Flatten)}
)
get = _registry.get
serialize = _registry.serialize
deserialize = _registry.deserialize
