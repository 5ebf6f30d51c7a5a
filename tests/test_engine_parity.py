"""The native engine against the reference: whole programs, forward, backward and training."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import activations, constraints, losses, metrics, optimizers, regularizers, use_threads
from fastnn._checks import ACTIVATIONS
from fastnn.native.dispatch import available_isas, use_isa
from fastnn.native.engine import NativeEngine
from fastnn.program import (
    ActivationOp,
    AddOp,
    BranchOp,
    Dataset,
    DenseOp,
    DropoutOp,
    Objective,
    OptimizerState,
    Parameter,
    ParameterBlock,
    Program,
)
from fastnn.reference import activation_backward
from fastnn.reference.engine import ReferenceEngine

ENGINES = (NativeEngine, ReferenceEngine)
FORWARD = {"float32": 2e-5, "float64": 1e-12}
TRAINED = {"float32": 3e-4, "float64": 1e-10}


def make_program(widths, dtype, names, seed=0, dropout=0.0, regularizer=None, bias=True):
    """Return a program of dense layers, all of its parameters drawn from `seed`."""
    ops, parameters = [], []
    for i, name in enumerate(names):
        units = 2 * widths[i + 1] if name == "glu" else widths[i + 1]
        kernel = Parameter("kernel", (widths[i], units), regularizer)
        shift = Parameter("bias", (units,)) if bias else None
        parameters += [kernel] if shift is None else [kernel, shift]
        ops.append(DenseOp(widths[i], widths[i + 1], kernel, shift, activations.get(name)))
        if dropout and i + 1 < len(names):
            ops.append(DropoutOp(widths[i + 1], widths[i + 1], dropout, seed=2**63 + i))
    ParameterBlock(parameters, np.dtype(dtype))
    rng = np.random.default_rng(seed)
    for p in parameters:
        p.assign(rng.normal(size=p.shape) / np.sqrt(p.shape[0]))
    return Program(ops, widths[0], np.dtype(dtype))


def outputs(engine, program, x):
    out = np.full((len(x), program.outputs), np.nan, x.dtype)
    engine(program).forward(x, out)
    return out


def make_data(rng, rows, inputs, width, dtype, kind, weighted=False):
    x = rng.normal(size=(rows, inputs)).astype(dtype)
    if kind == "labels":
        y = rng.integers(0, width, size=rows).astype(np.int32)
    elif kind == "positive":
        y = rng.uniform(0.2, 2, size=(rows, width)).astype(dtype)
    elif kind == "binary":
        y = rng.integers(0, 2, size=(rows, width)).astype(dtype)
    else:
        y = rng.normal(size=(rows, width)).astype(dtype)
    weights = rng.uniform(0, 2, size=rows).astype(dtype) if weighted else None
    return Dataset(x, y, weights)


def train(engine, make, data, loss, head, optimizer, batch_size, ordered=True, names=()):
    """Train for two epochs; return parameters, slots, totals of training and of evaluation."""
    program = make()
    rule = optimizer.rule()
    state = optimizer.state = optimizer.new_state(program.layout)
    counted = tuple(metrics.get(name, loss=loss, outputs=program.outputs) for name in names)
    trainer = engine(program).trainer(Objective(loss, head, counted), rule, state, batch_size)
    rng = np.random.default_rng(1)
    steps = -(-len(data) // batch_size)
    for _ in range(2):
        order = None if ordered else rng.permutation(len(data))
        hyper = optimizer.hyperparameters(state.iterations, steps)
        assert trainer.train(data, order, batch_size, 0, hyper, 60.0) == steps
    trained = trainer.totals.copy(), trainer.rows
    trainer.reset()
    assert trainer.evaluate(data, batch_size, 0, 60.0) == steps
    results = [p.value.copy() for p in program.parameters] + [s.copy() for s in state.buffers]
    python_metrics = [m.result() for m in counted if m.kernel is None]
    return results, [*trained, trainer.totals.copy(), trainer.rows, python_metrics]


def assert_same_training(dtype, *args, **kwargs):
    (native, native_totals), (reference, reference_totals) = (
        train(engine, *args, **kwargs) for engine in ENGINES
    )
    for a, b in zip(native, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=TRAINED[dtype], atol=TRAINED[dtype])
    for a, b in zip(native_totals, reference_totals, strict=True):
        np.testing.assert_allclose(a, b, rtol=TRAINED[dtype], atol=TRAINED[dtype])


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_forward_of_every_activation(isa, dtype, name):
    program = make_program((7, 33, 10), dtype, (name, name))
    x = np.random.default_rng(2).normal(size=(101, 7)).astype(dtype)
    np.testing.assert_allclose(
        outputs(NativeEngine, program, x),
        outputs(ReferenceEngine, program, x),
        rtol=FORWARD[dtype],
        atol=FORWARD[dtype],
    )


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("rows", [0, 1, 2, 11, 12, 13, 95, 96, 97, 193])
def test_forward_at_the_edges_of_tiles_and_chunks(isa, dtype, rows):
    program = make_program((5, 17, 64, 31, 3), dtype, ("relu", "softmax", "tanh", "softmax"))
    x = np.random.default_rng(3).normal(size=(rows, 5)).astype(dtype)
    np.testing.assert_allclose(
        outputs(NativeEngine, program, x),
        outputs(ReferenceEngine, program, x),
        rtol=FORWARD[dtype],
        atol=FORWARD[dtype],
    )


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("rows", [1, 3, 4, 5, 6, 7, 9, 10, 13, 25, 29, 31, 32, 101, 180])
def test_forward_of_layers_of_several_panels(isa, dtype, rows):
    program = make_program(
        (9, 64, 130, 200, 96, 10), dtype, ("relu", "tanh", "relu", "linear", "softmax")
    )
    x = np.random.default_rng(3).normal(size=(rows, 9)).astype(dtype)
    expected = outputs(ReferenceEngine, program, x)
    results = []
    for threads in (1, 2):
        with use_threads(threads):
            results.append(outputs(NativeEngine, program, x))
    np.testing.assert_allclose(results[0], expected, rtol=FORWARD[dtype], atol=FORWARD[dtype])
    np.testing.assert_array_equal(results[1], results[0])


NARROW = [
    ((4, 8, 8, 3), ("relu", "relu", "softmax")),
    ((64, 64, 10), ("relu", "softmax")),
    ((10, 64, 64, 1), ("tanh", "relu", "sigmoid")),
    ((20, 32, 32, 32, 4), ("gelu", "relu", "linear", "log_softmax")),
    ((150, 100, 16), ("relu", "log_softmax")),
    ((1100, 3), ("softmax",)),
    ((1, 1), ("linear",)),
]


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize(("widths", "names"), NARROW)
@pytest.mark.parametrize("bias", [True, False])
def test_rows_have_the_same_bits_among_many_as_among_few(isa, dtype, widths, names, bias):
    """Few rows lie in rows, many in the lanes of vectors, where units would leave some empty."""
    program = make_program(widths, dtype, names, bias=bias)
    x = np.random.default_rng(3).normal(size=(300, widths[0])).astype(dtype)
    few = [outputs(NativeEngine, program, x[i : i + 4]) for i in range(0, 300, 4)]
    for rows in (8, 17, 33, 96, 100, 129, 300):
        many = outputs(NativeEngine, program, x[:rows])
        np.testing.assert_array_equal(many, np.concatenate(few)[:rows])
    np.testing.assert_allclose(
        many, outputs(ReferenceEngine, program, x), rtol=FORWARD[dtype], atol=FORWARD[dtype]
    )


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("name", ["relu", "tanh"])
def test_wide_layers_give_many_rows_the_same_bits_as_few(isa, dtype, name):
    """Many rows take all steps with a lot of the units at a time, few with all of them."""
    program = make_program((1100, 6000), dtype, (name,))
    x = np.random.default_rng(3).normal(size=(400, 1100)).astype(dtype)
    few = [outputs(NativeEngine, program, x[i : i + 8]) for i in range(0, 400, 8)]
    for threads in (1, 2):
        with use_threads(threads):
            many = outputs(NativeEngine, program, x)
        np.testing.assert_array_equal(many, np.concatenate(few))
    np.testing.assert_allclose(
        many, outputs(ReferenceEngine, program, x), rtol=FORWARD[dtype], atol=FORWARD[dtype]
    )


@pytest.mark.parametrize(("widths", "names"), NARROW[:4])
def test_a_row_without_a_result_leaves_those_beside_it_alone(isa, widths, names):
    program = make_program(widths, "float32", names)
    x = np.random.default_rng(3).normal(size=(64, widths[0])).astype(np.float32)
    expected = outputs(NativeEngine, program, x)
    x[5], x[40, 0] = np.nan, np.inf
    found = outputs(NativeEngine, program, x)
    assert np.isnan(found[5]).all()
    others = np.delete(np.arange(64), [5, 40])
    np.testing.assert_array_equal(found[others], expected[others])


@pytest.mark.parametrize(
    ("widths", "names", "chosen"),
    [
        ((4, 8, 8, 3), ("relu", "relu", "softmax"), (0, 4)),
        ((64, 64, 10), ("relu", "softmax"), (1, 3)),
        ((784, 256, 128, 10), ("relu", "relu", "softmax"), (2, 4)),
        ((784, 256, 128, 10), ("relu", "relu", "sparsemax"), (2, 3)),
        ((64, 64, 64), ("relu", "relu"), (0, 0)),
        ((8, 40, 100), ("relu", "softmax"), (0, 0)),
    ],
)
def test_layers_are_transposed_where_lanes_would_be_empty(widths, names, chosen):
    if "avx512" not in available_isas():
        pytest.skip("needs a processor with AVX-512")
    with use_isa("avx512"):
        engine = NativeEngine(make_program(widths, "float32", names))
    assert (engine.transposed_first, engine.transposed_end) == chosen


def test_what_is_added_later_stays_in_rows():
    below = make_program((8, 8, 3), "float32", ("relu", "linear"))
    ops = [BranchOp(8, 8), below.ops[0], AddOp(8, 8), below.ops[1]]
    program = Program(ops, 8, np.dtype(np.float32))
    engine = NativeEngine(program)
    assert engine.transposed_end == 0
    x = np.random.default_rng(3).normal(size=(100, 8)).astype(np.float32)
    native, reference = (outputs(engine, program, x) for engine in ENGINES)
    np.testing.assert_allclose(native, reference, rtol=2e-5, atol=2e-5)


def test_forward_sees_weights_that_have_changed():
    program = make_program((3, 4), "float32", ("linear",))
    engine = NativeEngine(program)
    x, out = np.ones((1, 3), np.float32), np.empty((1, 4), np.float32)
    engine.forward(x, out)
    program.parameters[0].assign(np.zeros((3, 4)))
    engine.forward(x, out)
    np.testing.assert_array_equal(out[0], program.parameters[1].value)


def test_forward_without_ops_copies():
    program = Program([], 3, np.dtype(np.float32))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    for engine in ENGINES:
        np.testing.assert_array_equal(outputs(engine, program, x), x)


def test_activations_of_their_own_run_in_place_and_first():
    relu, softmax = activations.get("relu"), activations.get("softmax")
    program = Program(
        [ActivationOp(5, 5, relu), ActivationOp(5, 5, softmax)], 5, np.dtype(np.float32)
    )
    x = np.random.default_rng(4).normal(size=(7, 5)).astype(np.float32)
    before = x.copy()
    np.testing.assert_allclose(
        outputs(NativeEngine, program, x), outputs(ReferenceEngine, program, x), rtol=1e-6
    )
    np.testing.assert_array_equal(x, before)


DIFFERENTIABLE = [n for n in ACTIVATIONS if n != "step"]


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_training_with_every_activation(isa, dtype, name):
    data = make_data(np.random.default_rng(5), 53, 6, 4, dtype, "real")
    assert_same_training(
        dtype,
        lambda: make_program((6, 19, 9, 4), dtype, (name, name, "tanh")),
        data,
        losses.get("mean_squared_error"),
        None,
        optimizers.SGD(0.01),
        16,
    )


OF_ONE_WIDTH = [n for n in DIFFERENTIABLE if n != "glu"]


def with_activations_of_their_own(name, dtype):
    """Return a program with an activation on the input, between layers, in one, and at the end."""
    own = activations.get(name)
    below = make_program((7, 19, 5), dtype, ("linear", name))
    first, last = below.ops
    ops = [ActivationOp(7, 7, own), first, ActivationOp(19, 19, own), last, ActivationOp(5, 5, own)]
    return Program(ops, 7, np.dtype(dtype))


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("name", OF_ONE_WIDTH)
def test_training_with_activations_of_their_own(isa, dtype, name, ordered):
    data = make_data(np.random.default_rng(5), 53, 7, 5, dtype, "real")
    assert_same_training(
        dtype,
        lambda: with_activations_of_their_own(name, dtype),
        data,
        losses.get("mean_squared_error"),
        None,
        optimizers.SGD(0.01),
        16,
        ordered,
    )


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("name", ["tanh", "gelu", "leaky_relu"])
@pytest.mark.parametrize("width", [128, 256])
def test_activations_of_rows_that_lie_apart(isa, dtype, name, width):
    """Rows of a multiple of 1 kB have a gap behind them."""
    data = make_data(np.random.default_rng(5), 53, 6, 4, dtype, "real")
    assert_same_training(
        dtype,
        lambda: make_program((6, width, width, 4), dtype, (name, name, "tanh")),
        data,
        losses.get("mean_squared_error"),
        None,
        optimizers.SGD(0.01),
        32,
    )


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("name", OF_ONE_WIDTH)
def test_evaluation_has_the_bits_of_training(isa, dtype, name):
    """Training saves derivatives on its way, evaluation does not."""
    program = with_activations_of_their_own(name, dtype)
    for parameter in program.parameters:
        parameter.trainable = False
    data = make_data(np.random.default_rng(5), 53, 7, 5, dtype, "real")
    optimizer = optimizers.SGD(0.01)
    state = optimizer.new_state(program.layout)
    objective = Objective(losses.get("mean_squared_error"), None, ())
    trainer = NativeEngine(program).trainer(objective, optimizer.rule(), state, 16)
    trainer.train(data, None, 16, 0, optimizer.hyperparameters(0, 4), 60.0)
    totals = trainer.totals.copy()
    trainer.reset()
    trainer.evaluate(data, 16, 0, 60.0)
    np.testing.assert_array_equal(totals, trainer.totals)


OPTIONS = [
    activations.ReLU(0.2, 1.5, 0.25),
    activations.ReLU(0.2, 0.5, 0.75),
    activations.ReLU(-0.2, 1.5, 0.25),
    activations.ReLU(max_value=1.5),
    activations.LeakyReLU(0.4),
    activations.LeakyReLU(-0.4),
    activations.ELU(0.6),
    activations.CELU(0.6),
    activations.Squareplus(0.5),
    activations.SoftShrink(0.2),
    activations.HardShrink(0.3),
    activations.Threshold(0.1, -0.2),
]


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("activation", OPTIONS, ids=repr)
def test_training_with_options(isa, dtype, activation):
    data = make_data(np.random.default_rng(5), 53, 6, 4, dtype, "real")
    assert_same_training(
        dtype,
        lambda: make_program((6, 19, 9, 4), dtype, (activation, activation, "tanh")),
        data,
        losses.get("mean_squared_error"),
        None,
        optimizers.SGD(0.01),
        16,
    )


KINKED = [
    "relu",
    "relu6",
    *(activations.LeakyReLU(slope) for slope in (-0.4, 0.0, 0.4)),
    *(
        activations.ReLU(slope, limit, threshold)
        for slope in (-0.5, 0.0, 0.5)
        for limit in (None, 6.0, 0.5, np.nextafter(0.75, 1))
        for threshold in (0.0, 0.75)
    ),
]


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("activation", KINKED, ids=repr)
def test_slopes_at_and_beside_kinks(isa, dtype, activation):
    """Exactly as the function by itself has them, whatever the engine works them out from."""
    kinks = np.array([-1.0, 0.5, 0.75, 1.0, 6.0], dtype)
    z = np.concatenate(
        [kinks, np.nextafter(kinks, -np.inf), np.nextafter(kinks, np.inf), np.zeros(1, dtype)]
    )
    program = make_program((1, len(z)), dtype, (activation,))
    kernel, bias = program.parameters
    kernel.assign([z])
    bias.assign(np.zeros(len(z)))
    x = np.ones((1, 1), dtype)
    y = outputs(NativeEngine, program, x)
    optimizer = optimizers.SGD(0.01)
    state = optimizer.new_state(program.layout)
    objective = Objective(losses.get("mean_absolute_error"), None, ())
    trainer = NativeEngine(program).trainer(objective, optimizer.rule(), state, 1)
    gradients = program.layout.zeros()
    trainer.gradient(Dataset(x, y - 1, None), gradients)
    function = activations.get(activation)
    slopes = activation_backward(np.ones_like(z), z, y[0], function.name, options=function.options)
    np.testing.assert_array_equal(program.layout.view(gradients, bias) * len(z), slopes)


class Pairs(activations.ActivationFunction):
    """x and -x beside each other, above zero: twice as wide."""

    name = "pairs"

    def forward(self, x):
        return np.maximum(np.hstack([x, -x]), 0)

    def backward(self, grad, x, y):
        positive, negative = np.hsplit(grad * (y > 0), 2)
        return positive - negative

    def output_width(self, inputs):
        return 2 * inputs


def make_reshaping(dtype):
    """A program with activations on their own, which change the width, wherever they can be."""
    first = Parameter("kernel", (19, 34))
    second = Parameter("kernel", (17, 6))
    ParameterBlock([first, second], np.dtype(dtype))
    rng = np.random.default_rng(0)
    for p in (first, second):
        p.assign(rng.normal(size=p.shape) / np.sqrt(p.shape[0]))
    glu, pairs, tanh = activations.glu, Pairs(), activations.tanh
    ops = [
        ActivationOp(38, 19, glu),
        DenseOp(19, 34, first, None, activations.mish),
        ActivationOp(34, 68, pairs),
        ActivationOp(68, 34, glu),
        ActivationOp(34, 34, tanh),
        DropoutOp(34, 34, 0.2, seed=3),
        ActivationOp(34, 17, glu),
        ActivationOp(17, 17, activations.sparsemax),
        DenseOp(17, 12, second, None, pairs),
        ActivationOp(12, 6, glu),
        ActivationOp(6, 3, glu),
    ]
    return Program(ops, 38, np.dtype(dtype))


def test_ops_refuse_widths_that_are_not_theirs():
    kernel, glu = Parameter("kernel", (6, 8)), activations.glu
    with pytest.raises(ValueError, match="must have 6 inputs and 4 outputs, got 6 and 8"):
        DenseOp(6, 8, kernel, None, glu)
    with pytest.raises(ValueError, match="must have 6 inputs and 8 outputs, got 6 and 4"):
        DenseOp(6, 4, kernel, None, activations.relu)
    with pytest.raises(ValueError, match="must have 6 inputs and 3 outputs, got 6 and 6"):
        ActivationOp(6, 6, glu)


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("rows", [0, 1, 13, 97, 200])
def test_forward_through_activations_that_change_the_width(isa, dtype, rows):
    x = np.random.default_rng(12).normal(size=(rows, 38)).astype(dtype)
    before = x.copy()
    np.testing.assert_allclose(
        outputs(NativeEngine, make_reshaping(dtype), x),
        outputs(ReferenceEngine, make_reshaping(dtype), x),
        rtol=FORWARD[dtype],
        atol=FORWARD[dtype],
    )
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("batch_size", [1, 16])
def test_training_through_activations_that_change_the_width(isa, dtype, batch_size):
    data = make_data(np.random.default_rng(13), 53, 38, 3, dtype, "real")
    optimizer = optimizers.SGD(0.05, momentum=0.9)
    loss = losses.get("mean_squared_error")
    assert_same_training(
        dtype, lambda: make_reshaping(dtype), data, loss, None, optimizer, batch_size, ordered=False
    )


LOSSES = [
    (losses.MeanSquaredError(), "linear", None, "real"),
    (losses.MeanAbsoluteError(), "linear", None, "real"),
    (losses.Huber(delta=0.7), "linear", None, "real"),
    (losses.MeanAbsolutePercentageError(), "linear", None, "positive"),
    (losses.MeanSquaredLogarithmicError(), "softplus", None, "positive"),
    (losses.LogCosh(), "linear", None, "real"),
    (losses.QuantileLoss(0.8), "linear", None, "real"),
    (losses.CosineSimilarity(), "tanh", None, "real"),
    (losses.Poisson(), "softplus", None, "positive"),
    (losses.Tweedie(1.3), "softplus", None, "positive"),
    (losses.Tweedie(log_link=True), "linear", None, "positive"),
    (losses.GaussianNLL(full=True), "linear", None, "real"),
    (losses.Hinge(), "tanh", None, "binary"),
    (losses.SquaredHinge(), "tanh", None, "binary"),
    (losses.CategoricalHinge(), "linear", None, "binary"),
    (losses.PerceptronLoss(), "linear", None, "binary"),
    (losses.KLDivergence(), "softmax", None, "binary"),
    (losses.BinaryCrossentropy(label_smoothing=0.1), "sigmoid", "sigmoid", "binary"),
    (losses.BinaryCrossentropy(), "sigmoid", None, "binary"),
    (losses.BinaryCrossentropy(from_logits=True), "linear", None, "binary"),
    (losses.BinaryFocalCrossentropy(True, label_smoothing=0.1), "sigmoid", "sigmoid", "binary"),
    (losses.BinaryFocalCrossentropy(gamma=1.5), "sigmoid", None, "binary"),
    (losses.BinaryFocalCrossentropy(from_logits=True), "linear", None, "binary"),
    (losses.CategoricalFocalCrossentropy(label_smoothing=0.1), "softmax", "softmax", "binary"),
    (losses.CategoricalFocalCrossentropy(gamma=1.5), "softmax", None, "binary"),
    (losses.CategoricalFocalCrossentropy(from_logits=True), "linear", None, "binary"),
    (losses.CategoricalCrossentropy(label_smoothing=0.1), "softmax", "softmax", "binary"),
    (losses.CategoricalCrossentropy(), "softmax", None, "binary"),
    (losses.CategoricalCrossentropy(from_logits=True), "linear", None, "binary"),
    (losses.SparseCategoricalCrossentropy(), "softmax", "softmax", "labels"),
    (losses.SparseCategoricalCrossentropy(), "softmax", None, "labels"),
    (losses.SparseCategoricalCrossentropy(from_logits=True), "linear", None, "labels"),
]


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize(
    ("loss", "activation", "head", "kind"),
    LOSSES,
    ids=[f"{case[0].name}-{case[1]}-{case[2]}" for case in LOSSES],
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [1, 2, 10, 33])
def test_training_with_every_loss(dtype, loss, activation, head, kind, weighted, width):
    if width == 1 and activation == "softmax":
        pytest.skip("a softmax of one column is constant")
    if width == 1 and loss.kernel == "cosine_similarity":
        pytest.skip("the direction of one column is constant but for rounding")
    outputs = width * loss.outputs_per_target
    data = make_data(np.random.default_rng(6), 50, 6, width, dtype, kind, weighted)
    names = ("sparse_categorical_accuracy",) if kind == "labels" else ("mse", "mae")
    assert_same_training(
        dtype,
        lambda: make_program((6, 11, outputs), dtype, ("relu", activation)),
        data,
        loss,
        head,
        optimizers.Adam(0.01),
        16,
        ordered=False,
        names=names,
    )


OPTIMIZERS = [
    optimizers.SGD(0.05),
    optimizers.SGD(0.05, momentum=0.9),
    optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    optimizers.RMSprop(0.01),
    optimizers.RMSprop(0.01, momentum=0.5),
    optimizers.Adagrad(0.05),
    optimizers.Adam(0.01, clipnorm=0.1),
    optimizers.Adam(0.01, clipvalue=0.01),
    optimizers.AdamW(0.01, global_clipnorm=0.1),
    optimizers.Adam(optimizers.schedules.ExponentialDecay(0.02, 3, 0.5)),
    optimizers.Adam(0.01, amsgrad=True),
    optimizers.RMSprop(0.01, centered=True, epsilon=1e-3),
    optimizers.RMSprop(0.01, momentum=0.5, centered=True, epsilon=1e-3),
    optimizers.Adadelta(2.0, weight_decay=0.01),
    optimizers.Adamax(0.01, clipnorm=0.1),
    optimizers.Nadam(0.01, clipvalue=0.01),
    optimizers.Ftrl(0.1, l1_regularization_strength=1e-3, beta=0.1),
    optimizers.Lion(0.001, weight_decay=0.1),
    optimizers.SGD(0.05, use_ema=True, ema_momentum=0.7),
    optimizers.Adam(0.01, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2),
    optimizers.Nadam(0.01, gradient_accumulation_steps=3, global_clipnorm=0.1),
    optimizers.AdamW(
        optimizers.schedules.ExponentialDecay(0.02, 3, 0.5),
        gradient_accumulation_steps=2,
        use_ema=True,
        ema_momentum=0.7,
        ema_overwrite_frequency=2,
    ),
]


class Heavy(optimizers.Optimizer):
    """Momentum written by a user, with the number of the step in it."""

    @property
    def slot_values(self):
        return (0.0,)

    def update_step(self, gradient, variable, learning_rate, velocity):
        velocity *= 0.9 - 0.1 / (1 + self.iterations)
        velocity -= learning_rate * gradient
        variable += velocity


OWN = [
    Heavy(0.05),
    Heavy(0.05, weight_decay=0.1, clipnorm=0.1, use_ema=True, ema_momentum=0.7),
    Heavy(0.05, gradient_accumulation_steps=3),
]


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *OWN], ids=repr)
def test_training_with_every_optimizer(isa, dtype, optimizer):
    data = make_data(np.random.default_rng(7), 60, 8, 5, dtype, "labels", weighted=True)
    assert_same_training(
        dtype,
        lambda: make_program(
            (8, 23, 5),
            dtype,
            ("tanh", "softmax"),
            dropout=0.3,
            regularizer=regularizers.L1L2(0.001, 0.01),
        ),
        data,
        losses.get("sparse_categorical_crossentropy"),
        "softmax",
        optimizer,
        17,
        ordered=False,
        names=("sparse_categorical_accuracy",),
    )


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize(
    ("rows", "widths"),
    [
        (1, (1, 1, 1)),
        (40, (3, 600, 5)),
        (300, (1030, 20, 2)),
        (30, (20, 1100, 1100, 3)),
        (700, (13, 37, 41, 3)),
        (531, (701, 761, 3)),
        (60, (64, 300, 200, 3)),
        (90, (70, 256, 128, 100, 3)),
    ],
)
def test_training_of_large_and_small_shapes(isa, dtype, rows, widths):
    data = make_data(np.random.default_rng(8), rows, widths[0], widths[-1], dtype, "real")
    assert_same_training(
        dtype,
        lambda: make_program(widths, dtype, ["relu"] * (len(widths) - 2) + ["linear"]),
        data,
        losses.get("mse"),
        None,
        optimizers.SGD(0.01),
        rows,
    )


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize(
    ("rows", "batch_size", "widths"),
    [(1700, 1501, (20, 30, 5)), (700, 513, (9, 17, 3)), (1200, 1100, (600, 900, 4))],
)
def test_training_of_batches_that_are_worked_on_in_parts(rows, batch_size, widths, ordered, dtype):
    def make():
        names = ("relu", "softmax")
        return make_program(widths, dtype, names, dropout=0.3, regularizer=regularizers.L2(1e-3))

    data = make_data(np.random.default_rng(8), rows, widths[0], widths[-1], dtype, "labels", True)
    loss = losses.SparseCategoricalCrossentropy()
    optimizer = optimizers.SGD(0.01, momentum=0.9, global_clipnorm=0.5)
    names = ("accuracy",)
    assert_same_training(
        dtype, make, data, loss, "softmax", optimizer, batch_size, ordered=ordered, names=names
    )


def test_training_without_bias_and_with_frozen_parameters():
    def make():
        program = make_program((5, 8, 8, 2), "float64", ("relu", "elu", "linear"), bias=False)
        program.parameters[0].trainable = False
        program.parameters[2].trainable = False
        return program

    data = make_data(np.random.default_rng(9), 40, 5, 2, "float64", "real")
    optimizer = optimizers.Adam(0.01, global_clipnorm=0.01)
    assert_same_training("float64", make, data, losses.get("mse"), None, optimizer, 8)
    program = make()
    results, _ = train(NativeEngine, make, data, losses.get("mse"), None, optimizer, 8)
    np.testing.assert_array_equal(results[0], program.parameters[0].value)
    assert not np.array_equal(results[1], program.parameters[1].value)
    np.testing.assert_array_equal(results[2], program.parameters[2].value)


class Cube(activations.ActivationFunction):
    name = "cube"
    builtin = False

    def forward(self, x):
        return x**3

    def backward(self, grad, x, y):
        return grad * 3 * x**2


class FourthPower(losses.Loss):
    kernel = None

    def __init__(self):
        super().__init__(name="fourth_power")

    def forward(self, y_true, y_pred):
        return np.mean((y_pred - y_true) ** 4, axis=-1)

    def backward(self, y_true, y_pred):
        return 4 * (y_pred - y_true) ** 3 / y_pred.shape[1]


@pytest.mark.parametrize("weighted", [False, True])
def test_activation_loss_and_metric_written_in_python(weighted):
    data = make_data(np.random.default_rng(10), 30, 4, 1, "float64", "binary", weighted)
    assert_same_training(
        "float64",
        lambda: make_program((4, 7, 1), "float64", (Cube(), "sigmoid")),
        data,
        FourthPower(),
        None,
        optimizers.SGD(0.01),
        8,
        ordered=False,
        names=("auc", "precision", "mae"),
    )


class FirstAndSecond(losses.Loss):
    """Of two outputs for each target."""

    outputs_per_target = 2

    def forward(self, y_true, y_pred):
        first, second = np.split(y_pred, 2, axis=1)
        return np.mean((first - y_true) ** 2 + (second + y_true) ** 2, axis=1)

    def backward(self, y_true, y_pred):
        first, second = np.split(y_pred, 2, axis=1)
        return 2 * np.concatenate([first - y_true, second + y_true], axis=1) / y_true.shape[1]


@pytest.mark.parametrize("loss", [losses.GaussianNLL(), FirstAndSecond()])
@pytest.mark.parametrize("names", [("mae",), ("auc", "mse")])
def test_targets_narrower_than_the_output(isa, loss, names):
    data = make_data(np.random.default_rng(12), 30, 4, 3, "float64", "binary", True)
    assert_same_training(
        "float64",
        lambda: make_program((4, 7, 6), "float64", ("tanh", "sigmoid")),
        data,
        loss,
        None,
        optimizers.SGD(0.01),
        8,
        ordered=False,
        names=names,
    )
    for engine in ENGINES:
        program = make_program((4, 3), "float64", ("linear",))
        optimizer = optimizers.SGD(0.01)
        state = OptimizerState(program.layout, optimizer.slot_values)
        with pytest.raises(ValueError, match="needs 2 outputs for each target, got 3 outputs"):
            engine(program).trainer(Objective(loss, None, ()), optimizer.rule(), state, 8)


class Raises(Cube):
    def backward(self, grad, x, y):
        raise ArithmeticError("no gradient today")


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_in_python_code_leaves_the_last_finished_step(engine):
    check_that_nothing_changes(engine, (Raises(), "linear"), optimizers.Adam(0.01))


class RaisesInTheSecondArray(Heavy):
    def update_step(self, gradient, variable, learning_rate, velocity):
        super().update_step(gradient, variable, learning_rate, velocity)
        if variable.ndim == 1:
            raise ArithmeticError("no gradient today")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "use_ema": True}])
def test_an_error_in_a_step_written_in_python_leaves_the_last_finished_one(engine, options):
    optimizer = RaisesInTheSecondArray(0.05, **options)
    check_that_nothing_changes(engine, ("tanh", "linear"), optimizer)


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("width", [63, 64, 65, 130])
@pytest.mark.parametrize(
    ("loss", "kind", "names"),
    [
        ("mean_squared_error", "real", ("mean_absolute_error", "mean_squared_error")),
        ("binary_crossentropy", "binary", ("binary_accuracy",)),
        ("categorical_crossentropy", "binary", ("categorical_accuracy",)),
        ("categorical_crossentropy", "binary", ("auc",)),  # which needs them as an array
        ("cosine_similarity", "real", ()),
    ],
)
def test_long_targets_in_any_order(isa, dtype, width, loss, kind, names):
    last = {"real": "linear", "binary": "sigmoid"}[kind]
    data = make_data(np.random.default_rng(14), 700, 6, width, dtype, kind)
    assert_same_training(
        dtype,
        lambda: make_program((6, 5, width), dtype, ("tanh", last)),
        data,
        losses.get(loss),
        None,
        optimizers.SGD(0.01),
        batch_size=600,
        ordered=False,
        names=names,
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("ordered", [True, False])
def test_epochs_of_one_call_are_those_of_several(engine, ordered):
    rng = np.random.default_rng(12)
    data = make_data(rng, 21, 4, 3, "float64", "labels")
    orders = None if ordered else np.array([rng.permutation(21) for _ in range(3)])
    results = []
    for together in (True, False):
        program = make_program((4, 7, 3), "float64", ("tanh", "linear"))
        optimizer = optimizers.Adam(0.05)
        state = optimizer.state = optimizer.new_state(program.layout)
        loss = losses.SparseCategoricalCrossentropy(from_logits=True)
        counted = (metrics.get("accuracy", loss=loss, outputs=3),)
        trainer = engine(program).trainer(
            Objective(loss, None, counted), optimizer.rule(), state, 8
        )
        rows, ends = optimizer.hyperparameters(0, 9), np.full((3, 2), np.nan)
        if together:
            assert trainer.train(data, orders, 8, 0, rows[:4], 60.0, ends) == 4
            assert trainer.rows == 21 + 8
            assert trainer.train(data, orders, 8, 4, rows[4:], 60.0, ends) == 5
            assert trainer.train(data, orders, 8, 9, rows, 60.0, ends) == 0
            assert trainer.rows == 3 * 21
            assert not trainer.totals.any()
        else:
            for epoch in range(3):
                trainer.reset()
                order = None if ordered else orders[epoch]
                trainer.train(data, order, 8, 0, rows[3 * epoch : 3 * epoch + 3], 60.0)
                ends[epoch] = trainer.totals
        results.append([ends, *(p.value.copy() for p in program.parameters)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def check_that_nothing_changes(engine, names, optimizer):
    """A training step raises ArithmeticError, and leaves all as it was."""
    program = make_program((4, 7, 1), "float64", names)
    before = [p.value.copy() for p in program.parameters]
    state = optimizer.state = optimizer.new_state(program.layout)
    kept = [buffer.copy() for buffer in state.buffers]
    objective = Objective(losses.get("mse"), None, ())
    trainer = engine(program).trainer(objective, optimizer.rule(), state, 8)
    data = make_data(np.random.default_rng(11), 30, 4, 1, "float64", "real")
    with pytest.raises(ArithmeticError, match="no gradient today"):
        trainer.train(data, None, 8, 0, optimizer.hyperparameters(0, 4), 60.0)
    assert state.iterations == 0
    assert trainer.rows == 0
    for p, value in zip(program.parameters, before, strict=True):
        np.testing.assert_array_equal(p.value, value)
    for buffer, value in zip(state.buffers, kept, strict=True):
        np.testing.assert_array_equal(buffer, value)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_error_after_accumulation_keeps_what_was_accumulated(engine):
    program = make_program((4, 7, 1), "float64", ("tanh", "linear"))
    optimizer = RaisesInTheSecondArray(0.05, gradient_accumulation_steps=2)
    state = optimizer.state = optimizer.new_state(program.layout)
    objective = Objective(losses.get("mse"), None, ())
    trainer = engine(program).trainer(objective, optimizer.rule(), state, 8)
    data = make_data(np.random.default_rng(11), 16, 4, 1, "float64", "real")
    rows = optimizer.hyperparameters(0, 2)
    assert trainer.train(data, None, 8, 0, rows[:1], 60.0) == 1
    sums = state.accumulated.copy()
    assert sums.any()
    with pytest.raises(ArithmeticError):
        trainer.train(data, None, 8, 1, rows[1:], 60.0)
    assert state.iterations == 1
    np.testing.assert_array_equal(state.accumulated, sums)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("attribute", "value"), [("use_ema", True), ("gradient_accumulation_steps", 2)]
)
def test_a_state_that_lacks_something_is_refused(engine, attribute, value):
    program = make_program((4, 1), "float64", ("linear",))
    optimizer = optimizers.Adam(0.01)
    state = optimizer.new_state(program.layout)
    setattr(optimizer, attribute, value)
    objective = Objective(losses.get("mse"), None, ())
    with pytest.raises(ValueError, match="compile the model again"):
        engine(program).trainer(objective, optimizer.rule(), state, 8)


class Slotless(optimizers.Adam):
    slot_values = ()


class Misnamed(optimizers.Adam):
    arguments = ("learning_rate",)


def test_declarations_that_do_not_fit_the_kernel_are_refused():
    program = make_program((4, 1), "float64", ("linear",))
    objective = Objective(losses.get("mse"), None, ())
    for cls, message in ((Slotless, "2 to 3 slots"), (Misnamed, "must have the arguments")):
        state = cls().new_state(program.layout)
        with pytest.raises(ValueError, match=message):
            NativeEngine(program).trainer(objective, cls().rule(), state, 8)


def test_hyperparameters_of_another_shape_or_type_are_refused():
    program = make_program((4, 1), "float64", ("linear",))
    optimizer = optimizers.Adam(0.01)
    state = optimizer.new_state(program.layout)
    objective = Objective(losses.get("mse"), None, ())
    trainer = NativeEngine(program).trainer(objective, optimizer.rule(), state, 8)
    data = make_data(np.random.default_rng(11), 30, 4, 1, "float64", "real")
    rows = optimizer.hyperparameters(0, 4)
    for wrong in (rows[:, :3], rows[0], rows.astype(np.float32), rows[:, ::-1]):
        with pytest.raises(ValueError, match="hyperparameters must be"):
            trainer.train(data, None, 8, 0, wrong, 60.0)
    assert state.iterations == 0


@pytest.mark.parametrize("dtype", TRAINED)
@pytest.mark.parametrize("frozen", [False, True])
def test_gradient_of_all_data(isa, dtype, frozen):
    def make():
        program = make_program(
            (8, 23, 5), dtype, ("tanh", "softmax"), regularizer=regularizers.L2()
        )
        program.parameters[2].trainable = not frozen
        return program

    data = make_data(np.random.default_rng(7), 700, 8, 5, dtype, "labels", weighted=True)
    loss = losses.get("sparse_categorical_crossentropy")
    counted = (metrics.get("accuracy", loss=loss, outputs=5),)
    results = []
    for engine in ENGINES:
        program = make()
        before = [p.value.copy() for p in program.parameters]
        rule = optimizers.LBFGS().rule()
        state = OptimizerState(program.layout, ())
        trainer = engine(program).trainer(Objective(loss, "softmax", counted), rule, state, 700)
        out = np.full_like(program.layout.zeros(), np.nan)
        trainer.gradient(data, out)
        assert (trainer.rows, state.iterations) == (700, 0)
        for p, value in zip(program.parameters, before, strict=True):
            np.testing.assert_array_equal(p.value, value)
        assert program.layout.view(out, program.parameters[2]).any() != frozen
        results.append([out, trainer.totals.copy()])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=TRAINED[dtype], atol=TRAINED[dtype])


class FailsWhenAsked(constraints.Constraint):
    failing = False

    def __call__(self, w):
        if self.failing:
            raise ArithmeticError("no more")
        return w


@pytest.mark.parametrize("engine", ENGINES)
def test_a_constraint_that_raises_keeps_sums_and_averages(engine):
    program = make_program((4, 7, 1), "float64", ("tanh", "linear"))
    constraint = program.parameters[2].constraint = FailsWhenAsked()
    optimizer = optimizers.Adam(0.05, gradient_accumulation_steps=2, use_ema=True)
    state = optimizer.new_state(program.layout)
    objective = Objective(losses.get("mse"), None, ())
    trainer = engine(program).trainer(objective, optimizer.rule(), state, 8)
    data = make_data(np.random.default_rng(11), 16, 4, 1, "float64", "real")
    rows = optimizer.hyperparameters(0, 2)
    assert trainer.train(data, None, 8, 0, rows[:1], 60.0) == 1
    kept = [array.copy() for array in [*state.buffers, *(p.value for p in program.parameters)]]
    constraint.failing = True
    with pytest.raises(ArithmeticError, match="no more"):
        trainer.train(data, None, 8, 1, rows[1:], 60.0)
    now = [*state.buffers, *(p.value for p in program.parameters)]
    for array, value in zip(now, kept, strict=True):
        np.testing.assert_array_equal(array, value)
