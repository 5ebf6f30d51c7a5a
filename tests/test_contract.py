"""The contract: what holds for everything that models are made of.

The modules are searched for their public classes, and each must have an example in the tables
below: so nothing can be added without being held to the contract.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numeric import RTOL, numerical_gradient

from fastnn import (
    activations,
    callbacks,
    check_gradients,
    constraints,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    optimizers,
    plotting,
    regularizers,
    schedules,
)
from fastnn.engines import ENGINES
from fastnn.layers import (
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
    Maxout,
    Normalization,
    PReLU,
    Rescaling,
    Reshape,
    Residual,
    RMSNormalization,
    SimpleRNN,
    UnitNormalization,
)
from fastnn.models import Sequential
from fastnn.optimizers import SGD
from fastnn.utils import set_random_seed

DTYPES = ("float32", "float64")
ROWS = 20
TRAINED = {"float32": 3e-4, "float64": 1e-10}
"""Largest difference between engines after two epochs, relative and absolute."""


def mean_error(y_true, y_pred):
    return np.abs(y_true - y_pred).mean(axis=-1)


# Targets, from a generator and a shape


def real(rng, shape):
    return rng.normal(size=shape)


def binary(rng, shape):
    return rng.integers(0, 2, size=shape).astype(float)


def one_hot(rng, shape):
    return np.eye(shape[1])[labels(rng, shape)]


def positive(rng, shape):
    return rng.uniform(0.1, 1, size=shape)


def shares(rng, shape):
    return rng.dirichlet(np.ones(shape[1]), size=shape[0])


def labels(rng, shape):
    return rng.integers(0, shape[1], size=shape[0])


# Examples


@dataclass(frozen=True)
class LayerCase:
    """A layer, the shape of a sample before and after it, and its number of parameters."""

    layer: layers.Layer
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int


@dataclass(frozen=True)
class LossCase:
    """A loss, an activation and targets that go with it, and the best predictions for these."""

    loss: losses.Loss
    activation: str
    targets: Callable[..., np.ndarray]
    best: Callable[[np.ndarray], np.ndarray]


def same(targets):
    return targets


def margin(targets):
    """Logits that are as good as certain."""
    return 40 * (2 * targets - 1)


def signs(targets):
    return 2 * targets - 1


def certain(targets):
    """Means, and logarithms of very small variances."""
    return np.concatenate([targets, np.full_like(targets, -8)], axis=1)


def one_hot_of(targets):
    return np.eye(3)[targets]


LAYERS = [
    LayerCase(Input((5,), name="example"), (5,), (5,), 0),
    LayerCase(Dense(3, "tanh", name="example"), (5,), (3,), 18),
    LayerCase(Dense(3, use_bias=False, name="example"), (5,), (3,), 15),
    LayerCase(Dense(3, "tanh", activity_regularizer="l1_l2", name="example"), (5,), (3,), 18),
    LayerCase(Dense(6, "glu", name="example"), (5,), (3,), 36),
    LayerCase(Activation("tanh", name="example"), (5,), (5,), 0),
    LayerCase(Activation("glu", name="example"), (6,), (3,), 0),
    LayerCase(layers.ReLU(name="example"), (5,), (5,), 0),
    LayerCase(layers.ReLU(0.5, 0.1, 0.25, name="example"), (5,), (5,), 0),
    LayerCase(layers.LeakyReLU(name="example"), (5,), (5,), 0),
    LayerCase(layers.ELU(0.5, name="example"), (5,), (5,), 0),
    LayerCase(layers.Softmax(name="example"), (5,), (5,), 0),
    LayerCase(Dropout(0.5, seed=7, name="example"), (5,), (5,), 0),
    LayerCase(Dropout(0.2, seed=8, name="example"), (4, 3), (4, 3), 0),
    LayerCase(Flatten(name="example"), (4, 3), (12,), 0),
    LayerCase(Reshape((2, -1), name="example"), (4, 3), (2, 6), 0),
    LayerCase(PReLU(alpha_initializer="ones", name="example"), (4, 3), (4, 3), 12),
    LayerCase(Maxout(3, num_pieces=4, name="example"), (5,), (3,), 72),
    LayerCase(Maxout(3, use_bias=False, name="example"), (5,), (3,), 30),
    LayerCase(Embedding(11, 4, name="example"), (3,), (3, 4), 44),
    LayerCase(CategoricalEmbedding({0: 3, 2: 5}, {0: 2, 2: 4}, name="example"), (4,), (8,), 26),
    LayerCase(BatchNormalization(momentum=0.9, name="example"), (5,), (5,), 20),
    LayerCase(BatchNormalization(center=False, scale=False, name="example"), (5,), (5,), 10),
    LayerCase(LayerNormalization(epsilon=1e-5, name="example"), (5,), (5,), 10),
    LayerCase(RMSNormalization(name="example"), (5,), (5,), 5),
    LayerCase(UnitNormalization(name="example"), (5,), (5,), 0),
    LayerCase(Normalization(mean=[1.0, 2.0], variance=3.0, name="example"), (2,), (2,), 4),
    LayerCase(Rescaling(0.5, [1.0, 2.0], name="example"), (2,), (2,), 0),
    LayerCase(AlphaDropout(0.2, seed=8, name="example"), (4, 3), (4, 3), 0),
    LayerCase(GaussianNoise(0.2, seed=8, name="example"), (4, 3), (4, 3), 0),
    LayerCase(GaussianDropout(0.2, seed=8, name="example"), (4, 3), (4, 3), 0),
    LayerCase(ActivityRegularization(0.1, 0.2, name="example"), (4, 3), (4, 3), 0),
    LayerCase(
        Residual([Dense(8, "relu", name="a"), Dense(5, name="b")], name="example"), (5,), (5,), 93
    ),
    LayerCase(SimpleRNN(4, name="example"), (6, 3), (4,), 32),
    LayerCase(
        SimpleRNN(4, "relu", use_bias=False, return_sequences=True, name="example"),
        (6, 3),
        (6, 4),
        28,
    ),
]
LOSSES = [
    LossCase(losses.MeanSquaredError(), "linear", real, same),
    LossCase(losses.MeanAbsoluteError(name="mine"), "linear", real, same),
    LossCase(losses.Huber(), "linear", real, same),
    LossCase(losses.Huber(delta=0.3), "tanh", real, same),
    LossCase(losses.BinaryCrossentropy(), "sigmoid", binary, same),
    LossCase(losses.BinaryCrossentropy(), "softmax", binary, same),
    LossCase(
        losses.BinaryCrossentropy(label_smoothing=0.2),
        "sigmoid",
        binary,
        lambda targets: 0.8 * targets + 0.1,
    ),
    LossCase(losses.BinaryCrossentropy(from_logits=True), "linear", binary, margin),
    LossCase(losses.CategoricalCrossentropy(), "softmax", one_hot, same),
    LossCase(losses.CategoricalCrossentropy(), "sigmoid", one_hot, same),
    LossCase(
        losses.CategoricalCrossentropy(label_smoothing=0.3),
        "softmax",
        one_hot,
        lambda targets: 0.7 * targets + 0.1,
    ),
    LossCase(losses.CategoricalCrossentropy(from_logits=True), "linear", one_hot, margin),
    LossCase(losses.SparseCategoricalCrossentropy(), "softmax", labels, one_hot_of),
    LossCase(losses.SparseCategoricalCrossentropy(), "sigmoid", labels, one_hot_of),
    LossCase(
        losses.SparseCategoricalCrossentropy(from_logits=True),
        "linear",
        labels,
        lambda targets: margin(one_hot_of(targets)),
    ),
    LossCase(losses.Hinge(), "linear", binary, signs),
    LossCase(losses.SquaredHinge(), "linear", binary, signs),
    LossCase(losses.PerceptronLoss(), "linear", binary, signs),
    LossCase(losses.CategoricalHinge(), "linear", one_hot, same),
    LossCase(losses.MeanAbsolutePercentageError(), "linear", real, same),
    LossCase(losses.MeanSquaredLogarithmicError(), "softplus", positive, same),
    LossCase(losses.LogCosh(), "linear", real, same),
    LossCase(losses.QuantileLoss(0.8), "linear", real, same),
    LossCase(losses.CosineSimilarity(), "linear", real, same),
    LossCase(losses.Poisson(), "softplus", positive, same),
    LossCase(losses.Tweedie(1.3), "softplus", positive, same),
    LossCase(losses.Tweedie(log_link=True), "linear", positive, np.log),
    LossCase(losses.GaussianNLL(full=True), "linear", real, certain),
    LossCase(losses.KLDivergence(), "softmax", shares, same),
    LossCase(losses.BinaryFocalCrossentropy(True, alpha=0.6), "sigmoid", binary, same),
    LossCase(losses.BinaryFocalCrossentropy(gamma=1.5), "softmax", binary, same),
    LossCase(losses.BinaryFocalCrossentropy(from_logits=True), "linear", binary, margin),
    LossCase(losses.CategoricalFocalCrossentropy(), "softmax", one_hot, same),
    LossCase(losses.CategoricalFocalCrossentropy(0.5, 1.5), "sigmoid", one_hot, same),
    LossCase(losses.CategoricalFocalCrossentropy(from_logits=True), "linear", one_hot, margin),
]
EXAMPLES: dict[ModuleType, list[Any]] = {
    layers: [case.layer for case in LAYERS],
    losses: [case.loss for case in LOSSES],
    activations: [
        activations.Linear(),
        activations.Step(),
        activations.Sigmoid(),
        activations.Tanh(),
        activations.ReLU(),
        activations.LeakyReLU(0.3),
        activations.ELU(alpha=0.5),
        activations.SELU(),
        activations.SiLU(),
        activations.GELU(),
        activations.Softplus(),
        activations.Softsign(),
        activations.HardSigmoid(),
        activations.Exponential(),
        activations.ReLU(negative_slope=0.1, max_value=0.5, threshold=0.05),
        activations.ReLU6(),
        activations.HardTanh(),
        activations.HardSiLU(),
        activations.CELU(0.5),
        activations.Mish(),
        activations.LogSigmoid(),
        activations.Squareplus(b=2.0),
        activations.TanhShrink(),
        activations.SoftShrink(threshold=0.1),
        activations.HardShrink(threshold=0.1),
        activations.Threshold(-0.1, 0.25),
        activations.SparsePlus(),
        activations.SparseSigmoid(),
        activations.Softmax(),
        activations.LogSoftmax(),
        activations.Sparsemax(),
        activations.GLU(),
    ],
    initializers: [
        initializers.Zeros(),
        initializers.Ones(),
        initializers.Constant(0.25),
        initializers.RandomUniform(-1.0, 2.0, seed=1),
        initializers.RandomNormal(1.0, 0.5, seed=2),
        initializers.TruncatedNormal(1.0, 0.5, seed=3),
        initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal", seed=4),
        initializers.GlorotUniform(),
        initializers.GlorotNormal(seed=5),
        initializers.HeUniform(seed=5),
        initializers.HeNormal(seed=5),
        initializers.LecunUniform(seed=5),
        initializers.LecunNormal(seed=5),
        initializers.Orthogonal(gain=2.0, seed=6),
        initializers.Identity(gain=2.0),
    ],
    metrics: [
        metrics.MeanSquaredError(),
        metrics.MeanAbsoluteError(name="mine"),
        metrics.BinaryAccuracy(threshold=0.25),
        metrics.CategoricalAccuracy(),
        metrics.SparseCategoricalAccuracy(),
        metrics.MeanMetricWrapper(mean_error),
        metrics.Accuracy(),
        metrics.TopKCategoricalAccuracy(2),
        metrics.SparseTopKCategoricalAccuracy(k=2, name="mine"),
        metrics.RootMeanSquaredError(),
        metrics.MeanAbsolutePercentageError(),
        metrics.MeanSquaredLogarithmicError(),
        metrics.LogCoshError(),
        metrics.CosineSimilarity(),
        metrics.R2Score(None, num_regressors=1),
        metrics.PearsonCorrelation(),
        metrics.ConcordanceCorrelation(axis=0),
        metrics.BinaryCrossentropy(label_smoothing=0.1),
        metrics.CategoricalCrossentropy(from_logits=True),
        metrics.SparseCategoricalCrossentropy(),
        metrics.KLDivergence(),
        metrics.Poisson(),
        metrics.Hinge(),
        metrics.SquaredHinge(),
        metrics.CategoricalHinge(),
        metrics.AUC(name="auc"),
        metrics.AUC(curve="PR", multi_label=True, label_weights=[1.0, 2.0, 0.5], name="mine"),
        metrics.PrecisionAtRecall(0.5, name="mine"),
        metrics.RecallAtPrecision(0.5, name="mine"),
        metrics.SensitivityAtSpecificity(0.5, class_id=1, name="mine"),
        metrics.SpecificityAtSensitivity(0.5, name="mine"),
        metrics.TruePositives(name="mine"),
        metrics.TrueNegatives([0.25, 0.75], name="mine"),
        metrics.FalsePositives(name="mine"),
        metrics.FalseNegatives(0.25, name="mine"),
        metrics.Precision([0.25, 0.75], name="precision"),
        metrics.Recall(0.25, name="mine"),
        metrics.Recall(top_k=2, class_id=1, name="mine"),
        metrics.F1Score(threshold=0.3),
        metrics.FBetaScore("macro", beta=2.0),
        metrics.ConfusionMatrix(),
        metrics.MatthewsCorrelationCoefficient(),
        metrics.CohensKappa("quadratic"),
        metrics.IoU(3, [0, 2], sparse_y_pred=False, name="mine"),
        metrics.MeanIoU(3, sparse_y_pred=False, ignore_class=0, name="mine"),
        metrics.BinaryIoU((1,), threshold=0.4, name="mine"),
        metrics.OneHotIoU(3, [0], name="mine"),
        metrics.OneHotMeanIoU(3, name="mine"),
        metrics.Mean(),
        metrics.Sum(name="mine"),
    ],
    optimizers: [
        SGD(0.1),
        SGD(0.1, momentum=0.9, nesterov=True, clipnorm=1.0),
        optimizers.RMSprop(0.01, rho=0.8),
        optimizers.RMSprop(0.01, momentum=0.5, clipvalue=2.0),
        optimizers.Adagrad(0.1, initial_accumulator_value=0.2, name="mine"),
        optimizers.Adam(0.01, beta_1=0.8, beta_2=0.9, epsilon=1e-8, weight_decay=0.1),
        optimizers.AdamW(0.01, weight_decay=0.01, global_clipnorm=3.0),
        optimizers.Adam(schedules.CosineDecay(0.1, 100)),
        optimizers.Adam(0.01, amsgrad=True, use_ema=True, ema_momentum=0.5),
        optimizers.RMSprop(0.01, centered=True),
        optimizers.Adadelta(2.0, rho=0.9),
        optimizers.Adamax(0.01, beta_1=0.8, clipnorm=2.0),
        optimizers.Nadam(0.01, beta_2=0.99),
        optimizers.Ftrl(0.1, initial_accumulator_value=0.01, l2_regularization_strength=0.01),
        optimizers.Lion(0.01, weight_decay=0.1),
    ],
    regularizers: [
        regularizers.L1(0.1),
        regularizers.L2(0.2),
        regularizers.L1L2(0.1, 0.2),
        regularizers.OrthogonalRegularizer(0.3),
        regularizers.OrthogonalRegularizer(0.3, mode="columns"),
    ],
    constraints: [
        constraints.MaxNorm(0.5),
        constraints.MaxNorm(0.5, axis=1),
        constraints.NonNeg(),
        constraints.UnitNorm(),
        constraints.UnitNorm(axis=[0, 1]),
        constraints.MinMaxNorm(0.3, 0.6, rate=0.5),
    ],
    schedules: [
        schedules.ExponentialDecay(0.1, 4, 0.5, staircase=True),
        schedules.InverseTimeDecay(0.1, 10, 0.5),
        schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3]),
        schedules.PolynomialDecay(0.1, 4, 0.01, 2.0, cycle=True),
        schedules.CosineDecay(0.1, 3, 0.1, warmup_target=0.2, warmup_steps=2),
        schedules.CosineDecayRestarts(0.1, 2, 1.5, 0.8, 0.1),
        schedules.OneCycle(0.1, 6, 0.5, "linear", 5.0, 10.0, three_phase=True),
    ],
}
FULL_BATCH = [optimizers.LBFGS(history_size=5, tolerance_grad=1e-6)]
"""Optimizers that go by all data at once, with tests of their own."""

CALLBACKS: dict[type, Callable[..., callbacks.Callback]] = {
    callbacks.History: lambda folder: callbacks.History(),
    callbacks.ProgressBar: lambda folder: callbacks.ProgressBar(),
    callbacks.CSVLogger: lambda folder: callbacks.CSVLogger(folder / "log.csv"),
    callbacks.EarlyStopping: lambda folder: callbacks.EarlyStopping(patience=100),
    callbacks.ReduceLROnPlateau: lambda folder: callbacks.ReduceLROnPlateau(patience=100),
    callbacks.LearningRateScheduler: lambda folder: callbacks.LearningRateScheduler(
        lambda epoch, rate: rate
    ),
    callbacks.LambdaCallback: lambda folder: callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs["loss"]
    ),
    callbacks.TerminateOnNaN: lambda folder: callbacks.TerminateOnNaN(),
}
"""Callbacks that have no reason to step in, so that training must be the same with them."""

BASES = {
    activations.ActivationFunction,
    activations.BuiltinActivation,
    callbacks.Callback,
    constraints.BuiltinConstraint,
    constraints.Constraint,
    constraints.NormConstraint,
    initializers.Initializer,
    initializers.RandomInitializer,
    layers.Layer,
    losses.Loss,
    metrics.MeanMetric,
    metrics.Metric,
    optimizers.Optimizer,
    regularizers.Regularizer,
    schedules.LearningRateSchedule,
}
"""Classes that are there to be subclassed."""

CONTAINERS = {callbacks.CallbackList}
"""Classes that hold objects of their kind, and are no choice of their own."""


def public_classes(module: ModuleType) -> set[type]:
    """Return the classes that `module` defines for its users, but for base classes."""
    return {
        cls
        for name, cls in vars(module).items()
        if inspect.isclass(cls)
        and f"{cls.__module__}.".startswith(f"{module.__name__}.")
        and issubclass(cls, tuple(BASES))
        and not name.startswith("_")
    } - (BASES | CONTAINERS)


def label(example: Any) -> str:
    return f"{type(example).__module__.split('.')[-1]}-{example!r}"[:70]


def each(kind: ModuleType) -> Any:
    return pytest.mark.parametrize("example", EXAMPLES[kind], ids=label)


@pytest.mark.parametrize("module", [*EXAMPLES, callbacks], ids=lambda module: module.__name__)
def test_everything_is_held_to_the_contract(module):
    covered = {type(example) for example in [*EXAMPLES.get(module, []), *FULL_BATCH]}
    covered |= set(CALLBACKS)
    missing = sorted(cls.__name__ for cls in public_classes(module) - covered)
    assert not missing, (
        f"{module.__name__} has {', '.join(missing)} without an example in tests/test_contract.py: "
        "add one to its table, or the class to BASES"
    )


def test_a_class_without_example_is_noticed():
    module = ModuleType("extension")
    module.Cubic = type("Cubic", (activations.ActivationFunction,), {"__module__": "extension"})
    module.ReLU = activations.ReLU
    assert public_classes(module) == {module.Cubic}


# Configuration and names

OBJECTS = [(module, example) for module, examples in EXAMPLES.items() for example in examples]
OBJECTS += [(optimizers, example) for example in FULL_BATCH]
MADE_OF_FUNCTIONS = (metrics.MeanMetricWrapper,)
OF_VALUES = (metrics.Mean, metrics.Sum)
DESCRIBED = [
    pytest.param(module, example, id=label(example))
    for module, example in OBJECTS
    if not isinstance(example, MADE_OF_FUNCTIONS)
]


def fresh(example: Any) -> Any:
    """Return another object like `example`, without what it has seen and learned."""
    return type(example).from_config(example.get_config())


@pytest.mark.parametrize(("module", "example"), DESCRIBED)
class TestConfiguration:
    def test_it_comes_back_from_its_config(self, module, example):
        config = json.loads(json.dumps(example.get_config()))
        again = type(example).from_config(config)
        assert type(again) is type(example)
        assert again.get_config() == example.get_config()

    def test_it_comes_back_from_its_serialized_form(self, module, example):
        form = json.loads(json.dumps(module.serialize(example)))
        again = module.deserialize(form)
        assert type(again) is type(example)
        assert again.get_config() == example.get_config()

    def test_its_representation_is_a_call_that_makes_it(self, module, example):
        if isinstance(example, layers.Layer):
            assert repr(example) == f"<{type(example).__name__} name=example, built=False>"
        else:
            again = eval(repr(example), vars(module) | vars(schedules))
            assert type(again) is type(example)
            assert again.get_config() == example.get_config()


@pytest.mark.parametrize(
    ("module", "example"), [case for case in DESCRIBED if hasattr(case.values[0], "get")]
)
class TestGet:
    def test_it_is_returned_as_it_is(self, module, example):
        assert module.get(example) is example

    def test_its_config_makes_it(self, module, example):
        config = {"class_name": type(example).__name__, "config": example.get_config()}
        again = module.get(config)
        assert type(again) is type(example)
        assert again.get_config() == example.get_config()

    def test_its_class_and_name_make_one_with_defaults(self, module, example):
        cls = type(example)
        needed = [
            p.name
            for p in inspect.signature(cls).parameters.values()
            if p.default is p.empty and p.kind is not p.VAR_KEYWORD
        ]
        for identifier in (cls, cls.__name__):
            if needed:
                with pytest.raises(TypeError, match=needed[0]):
                    module.get(identifier)
            else:
                assert type(module.get(identifier)) is cls


# In a model


@dataclass(frozen=True)
class Setup:
    """A model that uses one example, and what to train it on."""

    stack: Callable[[], list[layers.Layer]]
    input_shape: tuple[int, ...] = (5,)
    loss: losses.Loss = field(default_factory=losses.MeanSquaredError)
    targets: Callable[..., np.ndarray] = real
    optimizer: optimizers.Optimizer = field(default_factory=lambda: SGD(0.1))
    metrics: tuple[metrics.Metric, ...] = ()
    indices: bool = False

    def model(self, dtype: str = "float64", engine: str | None = None) -> Sequential:
        """Return a new model; weights and shuffling are the same each time."""
        set_random_seed(3)
        stack = self.stack()
        if not isinstance(stack[0], Input):
            stack = [Input(self.input_shape), *stack]
        model = Sequential(stack, dtype=dtype, engine=engine)
        # Biases other than zero, so that every weight is of use.
        model.set_weights([w + 0.01 * (w == 0) for w in model.get_weights()])
        model.compile(fresh(self.optimizer), self.loss, [fresh(m) for m in self.metrics])
        return model

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(4)
        width = self.model().output_shape[1] // self.loss.outputs_per_target
        x = rng.normal(0, 0.5, size=(ROWS, *self.input_shape))
        if self.indices:
            x = rng.integers(0, 3, size=x.shape).astype(np.float64)
        return x, self.targets(rng, (ROWS, width))


def layer_setup(case: LayerCase) -> Setup:
    indices = isinstance(case.layer, Embedding | CategoricalEmbedding)
    stack = lambda: [fresh(case.layer), Flatten(), Dense(2)]  # noqa: E731
    return Setup(stack, case.input_shape, indices=indices)


def activation_setup(activation: activations.ActivationFunction) -> Setup:
    return Setup(lambda: [Dense(4, activation), Dense(4), Activation(activation), Dense(2)])


def loss_setup(case: LossCase) -> Setup:
    outputs = 3 * case.loss.outputs_per_target
    stack = lambda: [Dense(4, "tanh"), Dense(outputs, case.activation)]  # noqa: E731
    return Setup(stack, loss=case.loss, targets=case.targets)


def metric_setup(metric: metrics.Metric) -> Setup:
    loss, targets = losses.CategoricalCrossentropy(), one_hot
    if metric.sparse:
        loss, targets = losses.SparseCategoricalCrossentropy(), labels
    stack = lambda: [Dense(4, "tanh"), Dense(3, "softmax")]  # noqa: E731
    return Setup(stack, loss=loss, targets=targets, metrics=(metric,))


def dense_setup(optimizer: optimizers.Optimizer | None = None, **options: Any) -> Setup:
    stack = lambda: [Dense(4, "tanh", **options), Dense(2)]  # noqa: E731
    return Setup(stack, optimizer=optimizer or SGD(0.1))


COUNTED = [metric for metric in EXAMPLES[metrics] if not isinstance(metric, OF_VALUES)]
DIFFERENTIABLE = [a for a in EXAMPLES[activations] if not isinstance(a, activations.Step)]
SMOOTH_SETUPS = {
    **{f"{label(case.layer)}-{case.parameters}": layer_setup(case) for case in LAYERS},
    **{label(activation): activation_setup(activation) for activation in DIFFERENTIABLE},
    **{f"{label(case.loss)}-{case.activation}": loss_setup(case) for case in LOSSES},
    **{label(r): dense_setup(kernel_regularizer=r) for r in EXAMPLES[regularizers]},
}
SETUPS = {
    **SMOOTH_SETUPS,
    **{label(metric): metric_setup(metric) for metric in COUNTED},
    **{label(optimizer): dense_setup(optimizer) for optimizer in EXAMPLES[optimizers]},
    **{label(i): dense_setup(kernel_initializer=i) for i in EXAMPLES[initializers]},
    **{label(schedule): dense_setup(SGD(schedule)) for schedule in EXAMPLES[schedules]},
    **{label(c): dense_setup(kernel_constraint=c) for c in EXAMPLES[constraints]},
}


def flat(weights: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([w.ravel() for w in weights])


def set_flat(model: Sequential, values: np.ndarray) -> None:
    sizes = np.cumsum([parameter.size for parameter in model.trainable_weights])[:-1]
    for part, parameter in zip(np.split(values, sizes), model.trainable_weights, strict=True):
        parameter.assign(part.reshape(parameter.shape))


@pytest.mark.parametrize("setup", SETUPS.values(), ids=list(SETUPS))
class TestInAModel:
    @pytest.mark.parametrize("engine", ENGINES)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_a_step_of_training_changes_every_array_of_weights(self, setup, dtype, engine):
        model = setup.model(dtype, engine)
        x, y = setup.data()
        before = [w.numpy() for w in model.trainable_weights]
        model.train_on_batch(x, y)
        after = [w.numpy() for w in model.trainable_weights]
        assert all(not np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        assert all(np.isfinite(w).all() for w in after)
        assert model.optimizer.iterations == 1

    @pytest.mark.parametrize("engine", ENGINES)
    @pytest.mark.parametrize("dtype", DTYPES)
    def test_shapes_and_dtypes(self, setup, dtype, engine):
        model = setup.model(dtype, engine)
        x, _ = setup.data()
        for rows in (0, 1, ROWS):
            y = model.predict(x[:rows], verbose=0)
            assert y.shape == (rows, model.output_shape[1])
            assert y.dtype == dtype
        assert {w.dtype for w in model.get_weights()} == {np.dtype(dtype)}
        assert model.count_params() == sum(w.size for w in model.get_weights())

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_engines_agree(self, setup, dtype):
        x, y = setup.data()
        close = {"rtol": TRAINED[dtype], "atol": TRAINED[dtype]}
        results = []
        for engine in ENGINES:
            model = setup.model(dtype, engine)
            history = model.fit(x, y, batch_size=8, epochs=2, validation_data=(x, y), verbose=0)
            results.append((flat(model.get_weights()), model.predict(x, verbose=0), history))
        (weights, predictions, history), expected = results
        np.testing.assert_allclose(weights, expected[0], **close)
        np.testing.assert_allclose(predictions, expected[1], **close)
        for name, values in expected[2].history.items():
            np.testing.assert_allclose(history.history[name], values, **close)

    @pytest.mark.parametrize("engine", ENGINES)
    def test_the_whole_model_comes_back_from_its_config(self, setup, engine):
        model = setup.model(engine=engine)
        twin = Sequential.from_config(json.loads(json.dumps(model.get_config())))
        twin.set_weights(model.get_weights())
        x, _ = setup.data()
        expected = model.predict(x, verbose=0)
        np.testing.assert_allclose(twin.predict(x, verbose=0), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("setup", SMOOTH_SETUPS.values(), ids=list(SMOOTH_SETUPS))
def test_gradient_through_the_whole_model(setup, engine):
    """With a learning rate of 1, a step of plain gradient descent is the gradient itself."""
    model = setup.model(engine=engine)
    x, y = setup.data()
    start = flat([w.numpy() for w in model.trainable_weights])

    def training_loss(weights: np.ndarray) -> float:
        set_flat(model, weights)
        model.compile(SGD(1.0), setup.loss)  # so that dropout has the same mask each time
        return model.train_on_batch(x, y)

    training_loss(start)
    gradient = start - flat([w.numpy() for w in model.trainable_weights])
    # Small steps, so that none crosses a kink of relu and its like.
    expected = numerical_gradient(training_loss, start, h=1e-5)
    np.testing.assert_allclose(gradient, expected, rtol=RTOL, atol=1e-9)


@pytest.mark.parametrize("setup", SMOOTH_SETUPS.values(), ids=list(SMOOTH_SETUPS))
def test_a_model_can_be_checked_and_diagnosed_and_stays_as_it_is(setup):
    model = setup.model()
    x, y = setup.data()
    before = model.get_weights()
    assert check_gradients(model, x, y, elements=5).passed
    diagnosis = model.diagnose(x, y)
    assert np.isfinite(diagnosis.loss)
    names = [layer.name for layer in diagnosis.layers]
    assert names == [layer.name for layer in model.layers if layer.name in names]
    assert {layer.name for layer in model.layers if layer.weights} <= set(names)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# Ftrl makes the weights anew in each step, from all gradients so far.
CONTINUING = {n: s for n, s in SETUPS.items() if not isinstance(s.optimizer, optimizers.Ftrl)}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("setup", CONTINUING.values(), ids=list(CONTINUING))
def test_no_gradient_no_change(setup, engine):
    """Samples of weight 0 send nothing backwards; what then moves weights is decay alone."""
    model = setup.model(engine=engine)
    model.optimizer.weight_decay = 0.0
    x, y = setup.data()
    before = model.get_weights()
    penalised = any(
        isinstance(layer, ActivityRegularization) or getattr(layer, "activity_regularizer", None)
        for layer in model.layers
    )
    model.train_on_batch(x, y, sample_weight=np.zeros(ROWS))
    for old, new, parameter in zip(before, model.get_weights(), model.weights, strict=True):
        if parameter.trainable and not penalised:
            held = parameter.regularizer is not None or parameter.constraint is not None
            assert np.array_equal(old, new) == (not held)


# Layers


@pytest.mark.parametrize("case", LAYERS, ids=lambda case: f"{label(case.layer)}-{case.parameters}")
class TestLayers:
    def built(self, case, dtype="float32"):
        layer = fresh(case.layer)
        layers.build_layers([layer], (None, *case.input_shape), np.dtype(dtype))
        return layer

    def test_shapes_and_number_of_parameters(self, case):
        layer = fresh(case.layer)
        assert not layer.built
        assert layer.compute_output_shape((None, *case.input_shape)) == (None, *case.output_shape)
        layer = self.built(case)
        assert layer.built
        assert layer.input_shape == (None, *case.input_shape)
        assert layer.output_shape == (None, *case.output_shape)
        assert layer.count_params() == case.parameters
        assert sum(w.size for w in layer.get_weights()) == case.parameters

    def test_trainable_reaches_the_parameters(self, case):
        layer = self.built(case)
        layer.trainable = False
        assert layer.trainable_weights == []
        assert layer.non_trainable_weights == layer.weights
        layer.trainable = True
        optimised = [weight for weight in layer.weights if not weight.statistic]
        assert layer.trainable_weights == optimised

    def test_get_and_set_weights(self, case):
        layer = self.built(case, "float64")
        values = [np.full(w.shape, 1.5) for w in layer.get_weights()]
        layer.set_weights(values)
        for got, want in zip(layer.get_weights(), values, strict=True):
            np.testing.assert_array_equal(got, want)
        with pytest.raises(ValueError, match="got"):
            layer.set_weights([*values, np.zeros(1)])

    def test_it_can_be_drawn(self, case):
        pytest.importorskip("matplotlib")
        model = layer_setup(case).model()
        for detail in ("auto", "blocks"):
            assert plotting.network_diagram(model, detail=detail).texts
        assert plotting.weight_histograms(model).patches

    def test_name_shape_and_trainable_are_part_of_the_config(self, case):
        if isinstance(case.layer, Input):
            assert case.layer.get_config() == {"name": "example", "shape": [5]}
            return
        options = {"name": "given", "trainable": False, "input_shape": list(case.input_shape)}
        layer = type(case.layer).from_config(case.layer.get_config() | options)
        twin = layers.deserialize(layers.serialize(layer))
        assert (twin.name, twin.trainable) == ("given", False)
        assert twin.input_shape == (None, *case.input_shape)


# Activations


@pytest.mark.parametrize("dtype", DTYPES)
@each(activations)
class TestActivations:
    def test_alone_as_a_layer_and_within_dense_it_is_the_same(self, example, dtype):
        x = np.random.default_rng(5).normal(0, 3, size=(7, 4)).astype(dtype)
        expected = example(x)
        for engine in ENGINES:
            for layer in (Activation(example), Dense(4, example, kernel_initializer=Identity())):
                model = Sequential([Input((4,)), layer], dtype=dtype, engine=engine)
                tolerance = 1e-5 if dtype == "float32" else 1e-12
                np.testing.assert_allclose(
                    model.predict(x, verbose=0), expected, rtol=tolerance, atol=tolerance
                )

    def test_it_takes_any_array_and_leaves_it_alone(self, example, dtype):
        x = np.random.default_rng(6).normal(size=(4, 8)).astype(dtype)
        x.flags.writeable = False
        before = x.copy()
        expected = example(np.ascontiguousarray(x[::-1, ::2]))
        np.testing.assert_array_equal(example(x[::-1, ::2]), expected)
        np.testing.assert_array_equal(example(np.asfortranarray(x)[::-1, ::2]), expected)
        np.testing.assert_array_equal(x, before)


class Identity(initializers.Initializer):
    def __call__(self, shape, dtype="float32"):
        return np.eye(*shape, dtype=dtype)


# Losses


def loss_data(case: LossCase) -> tuple[np.ndarray, np.ndarray]:
    """Return targets and predictions such as the loss expects."""
    rng = np.random.default_rng(7)
    y_true = case.targets(rng, (ROWS, 3))
    y_pred = rng.normal(0, 2, size=(ROWS, 3 * case.loss.outputs_per_target))
    return y_true, activations.get(case.activation)(y_pred)


@pytest.mark.parametrize("case", LOSSES, ids=lambda case: f"{label(case.loss)}-{case.activation}")
class TestLosses:
    def test_alone_it_is_what_evaluate_returns(self, case):
        setup = loss_setup(case)
        x, y = setup.data()
        for engine in ENGINES:
            model = setup.model(engine=engine)
            expected = case.loss(y, model.predict(x, verbose=0))
            assert model.evaluate(x, y, batch_size=7, verbose=0) == pytest.approx(expected)

    def test_weights_of_samples_multiply(self, case):
        y_true, y_pred = loss_data(case)
        weights = np.random.default_rng(8).uniform(0, 2, size=ROWS)
        arguments = (
            *losses.as_rows(y_true, y_pred, case.loss.sparse, case.loss)[:2],
            case.loss.kernel,
        )
        options = case.loss.kernel_options()
        total = float(weights @ kernels.loss_forward(*arguments, **options))
        assert case.loss(y_true, y_pred, sample_weight=weights) == pytest.approx(total / ROWS)
        plain = kernels.loss_backward(*arguments, **options)
        weighted = kernels.loss_backward(*arguments, sample_weight=weights, **options)
        np.testing.assert_allclose(weighted, weights[:, None] * plain, rtol=1e-12, atol=1e-15)

    def test_weights_of_samples_multiply_in_training(self, case):
        """A sample of weight 3 counts as much as three samples."""
        setup = loss_setup(case)
        x, y = setup.data()
        counts = np.arange(ROWS) % 3
        repeated, single = setup.model(), setup.model()
        repeated.train_on_batch(np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0))
        single.train_on_batch(x, y, sample_weight=counts * (ROWS / counts.sum()))
        np.testing.assert_allclose(
            flat(single.get_weights()), flat(repeated.get_weights()), rtol=1e-12, atol=1e-14
        )

    def test_the_perfect_prediction_is_the_minimum(self, case):
        y_true, y_pred = loss_data(case)
        best = case.best(y_true)
        least = case.loss(y_true, best)
        assert least < case.loss(y_true, y_pred)
        rng = np.random.default_rng(9)
        low = -40 if case.activation in ("linear", "tanh") else 0
        high = 1 if case.activation in ("sigmoid", "softmax") else 40
        for size in (1e-3, 0.1, 1.0):
            moved = best + size * rng.normal(size=best.shape)
            assert least <= case.loss(y_true, np.clip(moved, low, high))

    def test_samples_do_not_feel_each_other(self, case):
        y_true, y_pred = losses.as_rows(*loss_data(case), case.loss.sparse, case.loss)[:2]
        whole = case.loss.backward(y_true, y_pred)
        for i in range(ROWS):
            alone = case.loss.backward(y_true[i : i + 1], y_pred[i : i + 1])
            np.testing.assert_allclose(alone[0], whole[i], rtol=1e-12, atol=1e-15)

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_values_and_gradients_have_the_type_of_the_predictions(self, case, dtype):
        given, predictions = loss_data(case)
        y_true, y_pred, _ = losses.as_rows(
            given, predictions.astype(dtype), case.loss.sparse, case.loss
        )
        values, gradient = case.loss.forward(y_true, y_pred), case.loss.backward(y_true, y_pred)
        assert (values.shape, gradient.shape) == ((ROWS,), y_pred.shape)
        assert values.dtype == gradient.dtype == dtype


# Metrics


@pytest.mark.parametrize("example", COUNTED, ids=label)
class TestMetrics:
    def test_alone_it_is_what_evaluate_returns(self, example):
        setup = metric_setup(example)
        x, y = setup.data()
        for engine in ENGINES:
            model = setup.model(engine=engine)
            expected = fresh(example)(y, model.predict(x, verbose=0))
            _, value = model.evaluate(x, y, batch_size=7, verbose=0)
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)

    def test_it_forgets_between_two_evaluations(self, example):
        setup = metric_setup(example)
        x, y = setup.data()
        model = setup.model()
        first = model.evaluate(x, y, verbose=0)
        model.evaluate(x[:3], y[:3], verbose=0)
        np.testing.assert_array_equal(model.evaluate(x, y, verbose=0)[1], first[1])


# Optimizers and schedules


@each(optimizers)
class TestOptimizers:
    def test_its_kernel_alone_takes_the_step_of_the_model(self, example):
        """For the second step too: what is kept from the first has to be right."""
        setup = dense_setup(example)
        x, y = setup.data()
        model, optimizer = setup.model(), fresh(example)
        rule = optimizer.rule()
        slots = [
            [np.full(p.shape, value) for value in optimizer.slot_values] for p in model.weights
        ]
        for step in range(2):
            weights = model.get_weights()
            gradients = clipped(rule, gradients_at(setup, weights, x, y))
            row = optimizer.hyperparameters(step, 1)[0]
            options = dict(zip(rule.hyperparameters, row.tolist(), strict=True))
            options |= {k: int(options[k]) for k in {"step", "nesterov"} & options.keys()}
            for parameter, gradient, kept in zip(weights, gradients, slots, strict=True):
                getattr(kernels, rule.kernel)(parameter, gradient, *kept, **options)
            model.train_on_batch(x, y)
            np.testing.assert_allclose(
                flat(model.get_weights()), flat(weights), rtol=1e-10, atol=1e-12
            )

    def test_without_learning_rate_it_does_nothing(self, example):
        optimizer = type(example).from_config(example.get_config() | {"learning_rate": 0.0})
        setup = dense_setup(optimizer)
        model = setup.model()
        before = model.get_weights()
        model.fit(*setup.data(), epochs=2, verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_it_makes_the_loss_smaller(self, example):
        setup = dense_setup(example)
        x, y = setup.data()
        model = setup.model("float32")
        losses_seen = model.fit(x, y, epochs=30, verbose=0).history["loss"]
        assert losses_seen[-1] < losses_seen[0]


def gradients_at(setup, weights, x, y) -> list[np.ndarray]:
    """Return what a step of plain gradient descent with learning rate 1 takes off `weights`."""
    model = setup.model()
    model.compile(SGD(1.0), setup.loss)
    model.set_weights(weights)
    model.train_on_batch(x, y)
    return [old - new for old, new in zip(weights, model.get_weights(), strict=True)]


def clipped(rule, gradients: list[np.ndarray]) -> list[np.ndarray]:
    if rule.clipvalue is not None:
        return [np.clip(g, -rule.clipvalue, rule.clipvalue) for g in gradients]
    if rule.clipnorm is not None:
        return [g * min(1, rule.clipnorm / np.linalg.norm(g)) for g in gradients]
    if rule.global_clipnorm is not None:
        factor = min(1, rule.global_clipnorm / np.linalg.norm(flat(gradients)))
        return [g * factor for g in gradients]
    return gradients


@each(schedules)
def test_training_follows_the_schedule(example):
    setup = dense_setup(SGD(example))
    x, y = setup.data()
    model = setup.model()
    for step in range(7):
        rate = example(step)
        assert isinstance(rate, float)
        assert model.optimizer.learning_rate == rate
        weights = model.get_weights()
        gradients = gradients_at(setup, weights, x, y)
        model.train_on_batch(x, y)
        expected = [w - rate * g for w, g in zip(weights, gradients, strict=True)]
        np.testing.assert_allclose(flat(model.get_weights()), flat(expected), rtol=1e-10)


# Initializers and regularizers


@pytest.mark.parametrize("dtype", DTYPES)
@each(initializers)
def test_initial_weights_are_those_of_the_initializer(example, dtype):
    set_random_seed(5)
    expected = fresh(example)((4, 3), dtype)
    assert (expected.shape, expected.dtype) == ((4, 3), np.dtype(dtype))
    for engine in ENGINES:
        set_random_seed(5)
        dense = Dense(3, kernel_initializer=example)
        model = Sequential([Input((4,)), dense], dtype=dtype, engine=engine)
        np.testing.assert_array_equal(model.get_weights()[0], expected)


@pytest.mark.parametrize("engine", ENGINES)
@each(regularizers)
def test_the_penalty_is_added_to_the_loss(example, engine):
    of_matrices = isinstance(example, regularizers.OrthogonalRegularizer)
    of_bias = regularizers.L2(0.1) if of_matrices else example
    setup = dense_setup(kernel_regularizer=example, bias_regularizer=of_bias)
    x, y = setup.data()
    model = setup.model(engine=engine)
    error = losses.MeanSquaredError()(y, model.predict(x, verbose=0))
    kernel, bias = model.get_weights()[:2]
    expected = error + example(kernel) + of_bias(bias)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected)
    assert model.train_on_batch(x, y) == pytest.approx(expected)
    assert example(np.zeros((2, 3))) == 0.0


@pytest.mark.parametrize("engine", ENGINES)
@each(constraints)
def test_weights_are_constrained_after_each_step(example, engine):
    setup = dense_setup(kernel_constraint=example)
    x, y = setup.data()
    free, held = dense_setup().model(engine=engine), setup.model(engine=engine)
    for model in (free, held):
        model.train_on_batch(x, y)
    kernel, *others = free.get_weights()
    constrained, *unconstrained = held.get_weights()
    np.testing.assert_allclose(constrained, example(kernel), rtol=1e-12)
    np.testing.assert_array_equal(flat(unconstrained), flat(others))


# Callbacks


@pytest.mark.parametrize("cls", CALLBACKS, ids=lambda cls: cls.__name__)
class TestCallbacks:
    def test_it_defines_only_hooks_that_are_called(self, cls, tmp_path):
        hooks = {name for name in dir(cls) if name.startswith("on_")}
        assert hooks == {name for name in dir(callbacks.Callback) if name.startswith("on_")}

    @pytest.mark.parametrize("engine", ENGINES)
    def test_training_is_the_same_with_it(self, cls, tmp_path, engine, capsys):
        setup = dense_setup(SGD(0.1, momentum=0.9))
        x, y = setup.data()
        options = {"batch_size": 8, "epochs": 3, "validation_data": (x, y), "verbose": 0}
        alone = setup.model(engine=engine)
        expected = alone.fit(x, y, **options).history
        watched = setup.model(engine=engine)
        history = watched.fit(x, y, callbacks=[CALLBACKS[cls](tmp_path)], **options).history
        assert {name: history[name] for name in expected} == expected
        np.testing.assert_array_equal(flat(watched.get_weights()), flat(alone.get_weights()))

    def test_it_can_be_used_in_every_call_and_again(self, cls, tmp_path, capsys):
        setup = dense_setup()
        x, y = setup.data()
        callback = CALLBACKS[cls](tmp_path)
        model = setup.model()
        for _ in range(2):
            history = model.fit(x, y, validation_data=(x, y), callbacks=[callback], verbose=2)
            assert len(history.epoch) == 1
            assert callback.model is model
            assert model.evaluate(x, y, callbacks=[callback], verbose=0) > 0
            assert len(model.predict(x, callbacks=[callback], verbose=0)) == ROWS
