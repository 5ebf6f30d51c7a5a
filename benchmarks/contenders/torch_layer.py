"""PyTorch, one layer, eager."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import single_layers as sizes
import threads
from single_layers import TimedLayer, Weights

from contenders.protocol import LayerContender


class Part(NamedTuple):
    """What computes the layer, its trained parameters, and which are stored transposed."""

    call: Callable[[Any], Any]
    parameters: list[Any]
    transposed: tuple[bool, ...]


class TorchLayer(LayerContender):
    """PyTorch's own module where there is one, else the shortest composition of its functions."""

    def __init__(self, layer: TimedLayer, weights: Weights, below: Weights | None) -> None:
        import torch

        torch.set_num_threads(threads.count())
        self.torch, self.layer = torch, layer
        self.top = _made(layer, [torch.from_numpy(w.copy()) for w in weights])
        self.below = None if below is None else _dense([torch.from_numpy(w.copy()) for w in below])
        self.parameters = [*(self.below.parameters if self.below else []), *self.top.parameters]
        self.optimizer: Any = None
        if self.parameters:
            fused = layer.kind != "Embedding"  # not there for sparse gradients
            self.optimizer = torch.optim.SGD(self.parameters, layer.learning_rate, fused=fused)

    def prepared(self, x: np.ndarray) -> Any:
        return x.astype(np.int64) if self.layer.kind == "Embedding" else x

    def forward(self, x: np.ndarray) -> np.ndarray:
        module = self.top.call
        if isinstance(module, self.torch.nn.Module) and module.training:
            module.eval()
        with self.torch.inference_mode():
            return module(self.torch.from_numpy(x)).numpy()

    def train(self, x: np.ndarray, y: np.ndarray) -> None:
        torch, top = self.torch, self.top.call
        below = self.below.call if self.below else lambda x: x
        penalty = _penalty if self.layer.kind == "ActivityRegularization" else None
        inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
        for rows in torch.randperm(len(x)).split(sizes.ROWS):
            self.optimizer.zero_grad()
            values = below(inputs.index_select(0, rows))  # faster than inputs[rows]
            wanted = targets.index_select(0, rows)
            loss = torch.nn.functional.mse_loss(top(values), wanted)
            if penalty is not None:
                loss = loss + penalty(values)
            loss.backward()
            self.optimizer.step()

    def weights(self) -> Weights:
        flags = [*(self.below.transposed if self.below else ()), *self.top.transposed]
        arrays = [p.detach().numpy() for p in self.parameters]
        return [a.T if t else a for a, t in zip(arrays, flags, strict=True)]


def _made(layer: TimedLayer, weights: list[Any]) -> Part:
    for makers in (_own_modules(layer), _with_weights()):
        if layer.kind in makers:
            return makers[layer.kind](weights)
    return Part(_composition(layer.kind), [], ())


def _own_modules(layer: TimedLayer) -> dict[str, Callable[[list[Any]], Part]]:
    """Return makers of PyTorch's modules whose parameters are in the order of the weights."""
    from torch import nn

    n = layer.features
    makers = {
        "BatchNormalization": lambda: nn.BatchNorm1d(n, sizes.EPSILON, 1 - sizes.MOMENTUM),
        "LayerNormalization": lambda: nn.LayerNorm(n, sizes.EPSILON),
        "RMSNormalization": lambda: nn.RMSNorm(n, sizes.EPSILON),
        "PReLU": lambda: nn.PReLU(n),
        "Dropout": lambda: nn.Dropout(sizes.RATE),
        "AlphaDropout": lambda: nn.AlphaDropout(sizes.RATE),
        "ReLU": nn.ReLU6,
        "LeakyReLU": lambda: nn.LeakyReLU(sizes.SLOPE),
        "ELU": nn.ELU,
        "GELU": nn.GELU,
        "SELU": nn.SELU,
        "Softmax": lambda: nn.Softmax(dim=1),
        sizes.NOTHING: nn.Identity,
        "ActivityRegularization": nn.Identity,
    }
    return {
        kind: lambda weights, make=make: _filled(make(), weights) for kind, make in makers.items()
    }


def _filled(module: Any, weights: list[Any]) -> Part:
    """Return the module with its parameters, then its buffers of floats, set to the weights."""
    import torch

    parameters = list(module.parameters())
    buffers = [b for b in module.buffers() if b.is_floating_point()]
    with torch.no_grad():
        for own, given in zip([*parameters, *buffers], weights, strict=True):
            own.copy_(given)
    return Part(module, parameters, (False,) * len(parameters))


def _dense(weights: list[Any]) -> Part:
    """Return a dense layer.

    Its kernel is not transposed as `linear` expects it: with few inputs the gradient of that
    takes many times as long.
    """
    import torch

    kernel, bias = map(torch.nn.Parameter, weights)
    return Part(lambda x: torch.addmm(bias, x, kernel), [kernel, bias], (False, False))


def _with_weights() -> dict[str, Callable[[list[Any]], Part]]:
    """Return makers of what takes more than filling a module."""
    import torch
    from torch import nn

    def maxout(weights: list[Any]) -> Part:
        pieces = _dense(weights)
        return pieces._replace(
            call=lambda x: torch.maximum(*pieces.call(x).chunk(sizes.PIECES, dim=1))
        )

    def residual(weights: list[Any]) -> Part:
        block = _dense(weights)
        return block._replace(call=lambda x: x + nn.functional.relu(block.call(x)))

    def embedding(weights: list[Any]) -> Part:
        module = nn.Embedding(sizes.TABLE_ROWS, sizes.TABLE_COLUMNS, sparse=True)
        part = _filled(module, weights)
        return part._replace(call=lambda x: module(x).flatten(1))

    def recurrent(weights: list[Any]) -> Part:
        kernel, recurrent_kernel, bias = weights
        n = len(bias)
        module = nn.RNN(n, n, batch_first=True)
        _filled(module, [kernel.T, recurrent_kernel.T, bias, torch.zeros_like(bias)])
        module.bias_hh_l0.requires_grad_(False)  # there is one bias, not two
        parameters = [module.weight_ih_l0, module.weight_hh_l0, module.bias_ih_l0]
        return Part(
            lambda x: module(x.reshape(-1, sizes.STEPS, n))[0][:, -1],
            parameters,
            (True, True, False),
        )

    def normalization(weights: list[Any]) -> Part:
        mean, variance = weights
        factor = variance.rsqrt()
        shift = -mean * factor
        return Part(lambda x: torch.addcmul(shift, x, factor), [], ())

    return {
        "Maxout": maxout,
        "Residual": residual,
        "Embedding": embedding,
        "SimpleRNN": recurrent,
        "Normalization": normalization,
    }


def _composition(kind: str) -> Callable[[Any], Any]:
    """Return a function without weights that PyTorch has no module for."""
    import torch

    deviation = (sizes.RATE / (1 - sizes.RATE)) ** 0.5
    offset = torch.tensor(sizes.OFFSET)
    return {
        "UnitNormalization": lambda x: torch.nn.functional.normalize(x, dim=1),
        "Rescaling": lambda x: torch.add(offset, x, alpha=sizes.SCALE),
        "GaussianNoise": lambda x: x + torch.empty_like(x).normal_(0, sizes.DEVIATION),
        "GaussianDropout": lambda x: x * torch.empty_like(x).normal_(1, deviation),
    }[kind]


def _penalty(x: Any) -> Any:
    """Return activity regularization's part of the loss."""
    return (sizes.L1 * x.abs().sum() + sizes.L2 * x.square().sum()) / len(x)
