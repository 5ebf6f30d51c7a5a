"""Those who are timed: fastnn, and the libraries that a user could take instead.

Each builds the same network from the same weights, predicts probabilities with one call, and
trains for one epoch in the fastest way that its users have: NumPy arrays in, rows shuffled. A
library is imported when its contender is made; one that is not installed raises ImportError.
"""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any, ClassVar, Protocol

import numpy as np
from networks import BETA_1, BETA_2, EPSILON, LEARNING_RATE, Weights


class Contender(Protocol):
    """A library at work on one network.

    Attributes
    ----------
    name : str
        As it appears in tables.
    module : str
        Whose ``__version__`` is stated.
    trains : bool
    late_epsilon : bool
        Where Adam adds epsilon; see `ExactNetwork`.
    """

    name: ClassVar[str]
    module: ClassVar[str]
    trains: ClassVar[bool] = True
    late_epsilon: ClassVar[bool] = False

    def __init__(self, weights: Weights) -> None: ...

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return probabilities, shape (n, classes)."""

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        """Run one epoch over shuffled rows."""

    def weights(self) -> Weights:
        """Return kernels and biases as they are now."""


class FastnnContender(Contender):
    name, module = "fastnn", "fastnn"

    def __init__(self, weights: Weights) -> None:
        from fastnn import Sequential, optimizers
        from fastnn.layers import Dense, Input

        *hidden, last = weights[1::2]
        self.model = Sequential([Input((len(weights[0]),))])
        for bias in hidden:
            self.model.add(Dense(len(bias), activation="relu"))
        self.model.add(Dense(len(last), activation="softmax"))
        self.model.set_weights(weights)
        adam = optimizers.Adam(LEARNING_RATE, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
        self.model.compile(optimizer=adam, loss="sparse_categorical_crossentropy")

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model(x)

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self.model.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)

    def weights(self) -> Weights:
        return self.model.get_weights()


class NumpyContender(Contender):
    """NumPy as one writes it for speed: every array allocated once, parameters in one buffer."""

    name, module = "NumPy", "numpy"

    def __init__(self, weights: Weights) -> None:
        self.shapes = [w.shape for w in weights]
        self.flat = np.concatenate([w.ravel() for w in weights])
        self.parameters = self._views(self.flat)
        self.gradient, self.m, self.v, self.scratch = np.zeros((4, self.flat.size), np.float32)
        self.gradients = self._views(self.gradient)
        self.buffers: dict[int, list[np.ndarray]] = {}
        self.generator = np.random.default_rng(0)
        self.step = 0

    def _views(self, flat: np.ndarray) -> Weights:
        ends = np.cumsum([np.prod(shape) for shape in self.shapes])
        parts = np.split(flat, ends[:-1])
        return [part.reshape(s) for part, s in zip(parts, self.shapes, strict=True)]

    def _outputs(self, count: int) -> list[np.ndarray]:
        """Return an array for each layer's output, kept for the next batch of this size."""
        if count not in self.buffers:
            units = [shape[0] for shape in self.shapes[1::2]]
            self.buffers[count] = [np.empty((count, n), np.float32) for n in units]
        return self.buffers[count]

    def predict(self, x: np.ndarray) -> np.ndarray:
        outputs = self._outputs(len(x))
        values = x
        for layer, out in enumerate(outputs):
            kernel, bias = self.parameters[2 * layer : 2 * layer + 2]
            np.matmul(values, kernel, out=out)
            np.add(out, bias, out=out)
            if layer < len(outputs) - 1:
                np.maximum(out, 0, out=out)
            values = out
        np.subtract(values, values.max(axis=1, keepdims=True), out=values)
        np.exp(values, out=values)
        np.divide(values, values.sum(axis=1, keepdims=True), out=values)
        return values

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        order = self.generator.permutation(len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            self._backward(x[rows], y[rows])
            self._adam()

    def _backward(self, x: np.ndarray, y: np.ndarray) -> None:
        delta = self.predict(x)
        inputs = [x, *self._outputs(len(x))[:-1]]
        delta[np.arange(len(y)), y] -= 1
        delta /= len(y)
        for layer in reversed(range(len(inputs))):
            values = inputs[layer]
            np.matmul(values.T, delta, out=self.gradients[2 * layer])
            np.sum(delta, axis=0, out=self.gradients[2 * layer + 1])
            if layer > 0:
                active = values > 0
                np.matmul(delta, self.parameters[2 * layer].T, out=values)
                delta = np.multiply(values, active, out=values)

    def _adam(self) -> None:
        self.step += 1
        rate = LEARNING_RATE * np.sqrt(1 - BETA_2**self.step) / (1 - BETA_1**self.step)
        g, m, v, scratch = self.gradient, self.m, self.v, self.scratch
        m *= np.float32(BETA_1)
        m += np.multiply(g, np.float32(1 - BETA_1), out=scratch)
        v *= np.float32(BETA_2)
        np.multiply(g, g, out=scratch)
        v += np.multiply(scratch, np.float32(1 - BETA_2), out=scratch)
        np.sqrt(v, out=scratch)
        scratch += np.float32(EPSILON)
        np.divide(m, scratch, out=scratch)
        self.flat -= np.multiply(scratch, np.float32(rate), out=scratch)

    def weights(self) -> Weights:
        return self.parameters


class TorchContender(Contender):
    """PyTorch in its eager mode."""

    name, module, late_epsilon = "PyTorch", "torch", True

    def __init__(self, weights: Weights) -> None:
        import torch

        self.torch = torch
        torch.set_num_threads(1)
        layers: list[Any] = []
        for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
            linear = torch.nn.Linear(*kernel.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(kernel.T.copy()))
                linear.bias.copy_(torch.from_numpy(bias))
            layers += [linear, torch.nn.ReLU()]
        self.model = torch.nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), LEARNING_RATE, (BETA_1, BETA_2), EPSILON, fused=True
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        with self.torch.inference_mode():
            return self.torch.softmax(self.model(self.torch.from_numpy(x)), dim=1).numpy()

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        inputs, labels = self.torch.from_numpy(x), self.torch.from_numpy(y).long()
        for rows in self.torch.randperm(len(x)).split(batch_size):
            self.optimizer.zero_grad()
            logits = self.model(inputs[rows])
            self.torch.nn.functional.cross_entropy(logits, labels[rows]).backward()
            self.optimizer.step()

    def weights(self) -> Weights:
        return [p.detach().numpy().T for p in self.model.parameters()]


class JaxContender(Contender):
    """JAX, compiled by XLA; an epoch is one compiled loop (`lax.scan`)."""

    name, module = "JAX", "jax"

    def __init__(self, weights: Weights) -> None:
        import jax

        self.state = tuple(
            [jax.numpy.array(w * factor) for w in weights] for factor in (1, 0, 0)
        )  # parameters, m, v
        self.step = 0
        self.generator = np.random.default_rng(0)
        self.compiled_predict = jax.jit(lambda p, x: jax.nn.softmax(self._logits(p, x)))
        self.compiled_epoch = jax.jit(self._epoch, donate_argnums=0)

    @staticmethod
    def _logits(parameters: list[Any], x: Any) -> Any:
        import jax

        *hidden, last = zip(parameters[::2], parameters[1::2], strict=True)
        for kernel, bias in hidden:
            x = jax.nn.relu(x @ kernel + bias)
        return x @ last[0] + last[1]

    def _loss(self, parameters: list[Any], x: Any, y: Any) -> Any:
        import jax

        logarithms = jax.nn.log_softmax(self._logits(parameters, x))
        return -jax.numpy.take_along_axis(logarithms, y[:, None], axis=1).mean()

    def _epoch(self, state: Any, x: Any, y: Any, batches: Any, rates: Any) -> Any:
        import jax

        def step(state: Any, batch: Any) -> Any:
            rows, rate = batch
            parameters, m, v = state
            gradients = jax.grad(self._loss)(parameters, x[rows], y[rows])
            m = [BETA_1 * a + (1 - BETA_1) * g for a, g in zip(m, gradients, strict=True)]
            v = [BETA_2 * b + (1 - BETA_2) * g * g for b, g in zip(v, gradients, strict=True)]
            moved = [
                p - rate * a / (jax.numpy.sqrt(b) + EPSILON)
                for p, a, b in zip(parameters, m, v, strict=True)
            ]
            return (moved, m, v), None

        return jax.lax.scan(step, state, (batches, rates))[0]

    def predict(self, x: np.ndarray) -> np.ndarray:
        return np.asarray(self.compiled_predict(self.state[0], x))

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        batches = self.generator.permutation(len(x)).astype(np.int32).reshape(-1, batch_size)
        t = np.arange(self.step + 1, self.step + 1 + len(batches))
        rates = LEARNING_RATE * np.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        self.state = self.compiled_epoch(self.state, x, y, batches, rates.astype(np.float32))
        self.state[0][0].block_until_ready()
        self.step += len(batches)

    def weights(self) -> Weights:
        return [np.asarray(p) for p in self.state[0]]


class SklearnContender(Contender):
    """scikit-learn's `MLPClassifier`; an epoch is one `partial_fit`."""

    name, module = "scikit-learn", "sklearn"

    def __init__(self, weights: Weights) -> None:
        from sklearn.neural_network import MLPClassifier

        *hidden, classes = (len(bias) for bias in weights[1::2])
        self.model = MLPClassifier(
            hidden,
            alpha=0.0,
            learning_rate_init=LEARNING_RATE,
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
        )
        self.classes = np.arange(classes)
        # One step on zeros makes the arrays; a new optimizer then starts from our weights.
        self._fit(np.zeros((classes, len(weights[0])), np.float32), self.classes, classes)
        del self.model._optimizer
        for own, given in zip(self.weights(), weights, strict=True):
            own[...] = given

    def _fit(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self.model.batch_size = batch_size
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.partial_fit(x, y, classes=self.classes)

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(x)

    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        self._fit(x, y, batch_size)

    def weights(self) -> Weights:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [array for pair in pairs for array in pair]


class OnnxContender(Contender):
    """ONNX Runtime, which runs networks and does not train them."""

    name, module, trains = "ONNX Runtime", "onnxruntime", False

    def __init__(self, weights: Weights) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            _onnx_model(weights), options, providers=["CPUExecutionProvider"]
        )

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.session.run(None, {"x": x})[0]


def _onnx_model(weights: Weights) -> bytes:
    """Return the network as an ONNX file: Gemm and Relu in turn, then Softmax."""
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    nodes, value = [], "x"
    for i in range(0, len(weights), 2):
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"w{i + 1}"], [f"z{i}"]))
        last = i == len(weights) - 2
        value = "y" if last else f"a{i}"
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{i}"], [value]))
    inputs, outputs = ["n", len(weights[0])], ["n", len(weights[-1])]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


ALL: tuple[type[Contender], ...] = (
    FastnnContender,
    NumpyContender,
    TorchContender,
    JaxContender,
    SklearnContender,
    OnnxContender,
)


def installed() -> dict[type[Contender], str]:
    """Return the contenders that can be made here, fastnn first, each with its version."""
    found = {}
    for contender in ALL:
        try:
            contender([np.zeros((3, 3), np.float32), np.zeros(3, np.float32)])
        except ImportError as missing:
            if contender is FastnnContender:
                raise
            print(f"{contender.name} is left out: {missing}")
            continue
        found[contender] = import_module(contender.module).__version__
    return found
