"""PyTorch, eager and compiled."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import numpy as np
import threads
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights

from contenders.protocol import Contender


class TorchNetwork(Contender):
    """PyTorch in its eager mode, by functions, which cost less than modules."""

    module, late_epsilon = "torch", True
    compiled: ClassVar[bool] = False

    def __init__(self, weights: Weights) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(threads.count())
        self.parameters = [
            torch.nn.Parameter(torch.from_numpy(w.T.copy())) for w in weights
        ]  # a kernel is transposed, as `linear` expects it
        self.optimizer = torch.optim.Adam(
            self.parameters, LEARNING_RATE, (BETA_1, BETA_2), EPSILON, fused=True
        )
        self.probabilities, self.loss = _functions(self.compiled)

    def _tensor(self, array: np.ndarray) -> Any:
        """Return a tensor that shares the array's memory."""
        tensor = self.torch.from_numpy(array)
        if self.compiled and len(array) > 1:  # one compilation for all sizes of batch but 1
            self.torch._dynamo.mark_dynamic(tensor, 0)
        return tensor

    def predict(self, x: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return self.probabilities(self.parameters, self._tensor(x)).numpy()

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        inputs, labels = self.torch.from_numpy(x), self.torch.from_numpy(y).long()
        for rows in self.torch.randperm(len(x)).split(batch_size):
            self.optimizer.zero_grad()
            # Five times as fast as inputs[rows].
            batch, wanted = inputs.index_select(0, rows), labels.index_select(0, rows)
            if self.compiled and batch_size > 1:
                self.torch._dynamo.mark_dynamic(batch, 0)
                self.torch._dynamo.mark_dynamic(wanted, 0)
            self.loss(self.parameters, batch, wanted).backward()
            self.optimizer.step()

    def weights(self) -> Weights:
        return [p.detach().numpy().T for p in self.parameters]


class CompiledTorchNetwork(TorchNetwork):
    """PyTorch with `torch.compile` in its default mode; an optimizer step remains eager."""

    compiled = True

    def __init__(self, weights: Weights) -> None:
        import torch._inductor.cpp_builder as builder

        try:
            builder.get_cpp_compiler()
        except builder.exc.InvalidCxxCompiler as missing:
            raise ImportError("torch.compile needs a C++ compiler") from missing
        super().__init__(weights)


@cache
def _functions(compiled: bool) -> tuple[Any, Any]:
    """Return the functions of the probabilities and of the loss."""
    import torch

    functional = torch.nn.functional

    def logits(parameters: list[Any], x: Any) -> Any:
        for i in range(0, len(parameters) - 2, 2):
            x = functional.relu(functional.linear(x, parameters[i], parameters[i + 1]))
        return functional.linear(x, parameters[-2], parameters[-1])

    def probabilities(parameters: list[Any], x: Any) -> Any:
        return torch.softmax(logits(parameters, x), dim=1)

    def loss(parameters: list[Any], x: Any, y: Any) -> Any:
        return functional.cross_entropy(logits(parameters, x), y)

    if not compiled:
        return probabilities, loss
    torch._dynamo.config.recompile_limit = 64  # one for each network, and for a single row
    return torch.compile(probabilities), torch.compile(loss)
