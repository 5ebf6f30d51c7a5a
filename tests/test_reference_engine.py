"""The reference engine on small programs built by hand."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest
from numeric import RTOL, numerical_gradient
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import activations, losses, metrics, reference
from fastnn.program import (
    ActivationOp,
    Dataset,
    DenseOp,
    DropoutOp,
    Objective,
    OptimizerState,
    Parameter,
    ParameterBlock,
    Program,
    UpdateRule,
)
from fastnn.reference.engine import ReferenceEngine
from fastnn.regularizers import L1L2

FOREVER = float("inf")
PLAIN_SGD = UpdateRule("sgd", ("learning_rate",))
SLOTS = {"sgd": (), "rmsprop": (0.0,), "adagrad": (0.1,), "adam": (0.0, 0.0)}


def dense(inputs, outputs, activation="linear", bias=True, regularizer=None):
    kernel = Parameter("kernel", (inputs, outputs), regularizer)
    biases = Parameter("bias", (outputs,)) if bias else None
    return DenseOp(inputs, outputs, kernel, biases, activations.get(activation))


def build(ops, inputs, dtype=np.float64):
    """Return a program whose parameters have a block of random values."""
    program = Program(ops, inputs, np.dtype(dtype))
    if program.parameters:
        ParameterBlock(program.parameters, program.dtype)
    rng = np.random.default_rng(0)
    for parameter in program.parameters:
        parameter.assign(rng.normal(size=parameter.shape))
    return program


def make_trainer(program, loss, head=None, counted=(), rule=PLAIN_SGD, capacity=64):
    state = OptimizerState(program.layout, SLOTS.get(rule.kernel, ()))
    objective = Objective(losses.get(loss), head, tuple(counted))
    return ReferenceEngine(program).trainer(objective, rule, state, capacity)


def train(trainer, data, order=None, batch_size=64, first=0, values=((1.0,),), budget=FOREVER):
    return trainer.train(data, order, batch_size, first, np.array(values), budget)


def regression_data(n=7, inputs=3, outputs=2, weights=False, dtype=np.float64):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, inputs)).astype(dtype), rng.normal(size=(n, outputs)).astype(dtype)
    return Dataset(x, y, rng.uniform(0.5, 2, size=n).astype(dtype) if weights else None)


def label_data(n=7, inputs=3, classes=2):
    rng = np.random.default_rng(2)
    labels = rng.integers(classes, size=n).astype(np.int32)
    return Dataset(rng.normal(size=(n, inputs)), labels)


def values_of(program):
    return [p.value.copy() for p in program.parameters]


def versions_of(program):
    return [p.block.version for p in program.parameters]


# Forward


def test_forward_runs_the_ops_in_order():
    ops = [dense(3, 4, "relu"), DropoutOp(4, 4, 0.5, 1), dense(4, 2, bias=False)]
    ops.append(ActivationOp(2, 2, activations.get("softmax")))
    program = build(ops, 3)
    x = regression_data().x
    out = np.empty((7, 2))
    ReferenceEngine(program).forward(x, out)
    first, _, second, _ = ops
    hidden = np.maximum(x @ first.kernel.value + first.bias.value, 0)
    assert_array_equal(out, reference.softmax(hidden @ second.kernel.value))


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_forward_of_a_program_without_ops(rows):
    x, out = np.ones((rows, 3), np.float32), np.zeros((rows, 3), np.float32)
    ReferenceEngine(build([], 3, np.float32)).forward(x, out)
    assert_array_equal(out, x)


# Gradients, by steps of SGD with learning rate 1: what a parameter loses is its gradient


def loss_of(program, loss, head, data):
    """Return the mean loss over the data, by `evaluate`."""
    trainer = make_trainer(program, loss, head)
    assert trainer.evaluate(data, 64, 0, FOREVER) == 1
    return trainer.totals[0] / trainer.rows


def check_gradients(program, loss, head, data):
    before = values_of(program)
    expected = []
    for parameter, value in zip(program.parameters, before, strict=True):

        def mean_loss(moved, parameter=parameter):
            parameter.assign(moved)
            return loss_of(program, loss, head, data)

        expected.append(numerical_gradient(mean_loss, value))
        parameter.assign(value)
    train(make_trainer(program, loss, head), data)
    for parameter, value, gradient in zip(program.parameters, before, expected, strict=True):
        assert_allclose(value - parameter.value, gradient, rtol=RTOL, atol=1e-9)


@pytest.mark.parametrize("weights", [False, True])
def test_gradients_of_regression(weights):
    ops = [dense(3, 4, "tanh", regularizer=L1L2(0.02, 0.03)), dense(4, 2, "silu", bias=False)]
    check_gradients(build(ops, 3), "mean_squared_error", None, regression_data(weights=weights))


@pytest.mark.parametrize("head", [None, "softmax"])
def test_gradients_of_classification(head):
    program = build([dense(3, 5, "gelu"), dense(5, 2, "softmax")], 3)
    check_gradients(program, "sparse_categorical_crossentropy", head, label_data())


@pytest.mark.parametrize("head", [None, "sigmoid"])
def test_gradients_with_a_separate_activation(head):
    ops = [dense(3, 4), ActivationOp(4, 4, activations.get("elu")), dense(4, 2)]
    ops.append(ActivationOp(2, 2, activations.get("sigmoid")))
    data = regression_data()
    targets = Dataset(data.x, (data.y > 0).astype(float))
    check_gradients(build(ops, 3), "binary_crossentropy", head, targets)


def test_gradients_of_a_custom_activation_and_loss():
    class Square(activations.ActivationFunction):
        def forward(self, x):
            return x * x

        def backward(self, grad, x, y):
            return 2 * x * grad

    class Quartic(losses.Loss):
        def forward(self, y_true, y_pred):
            return np.sum((y_pred - y_true) ** 4, axis=1)

        def backward(self, y_true, y_pred):
            return 4 * (y_pred - y_true) ** 3

    ops = [dense(3, 4), ActivationOp(4, 4, Square()), dense(4, 2)]
    check_gradients(build(ops, 3), Quartic(), None, regression_data(weights=True))


def test_saturated_head_still_learns():
    """From clipped probabilities the gradient would be 0."""
    program = build([dense(1, 2, "softmax", bias=False)], 1)
    kernel = program.parameters[0]
    kernel.assign([[100.0, -100.0]])
    data = Dataset(np.ones((1, 1)), np.array([1], np.int32))
    trainer = make_trainer(program, "sparse_categorical_crossentropy", "softmax")
    train(trainer, data)
    assert trainer.totals[0] == 200
    assert_array_equal(kernel.value, [[99.0, -99.0]])


def test_dropout_masks_by_the_number_of_the_step():
    drop = DropoutOp(3, 3, 0.5, seed=11)
    program = build([drop, dense(3, 2)], 3)
    data = regression_data()
    trainer = make_trainer(program, "mean_squared_error")
    trainer.state.iterations = 5
    kernel, bias = values_of(program)
    train(trainer, data)
    x = reference.dropout(data.x, 0.5, 11, 5)
    residual = x @ kernel + bias - data.y
    assert_allclose(trainer.totals[0] / 7, np.mean(residual**2))
    assert_allclose(program.parameters[0].value, kernel - x.T @ residual / 7)


def test_dropout_backward():
    """The gradient through the mask is the mask's."""
    program = build([dense(3, 4), DropoutOp(4, 4, 0.5, 3), dense(4, 1, bias=False)], 3)
    data = regression_data(outputs=1)
    kernel, bias, last = values_of(program)
    hidden = reference.dropout(data.x @ kernel + bias, 0.5, 3, 0)
    grad = 2 * (hidden @ last - data.y) / 7
    expected = kernel - data.x.T @ reference.dropout(grad @ last.T, 0.5, 3, 0)
    train(make_trainer(program, "mean_squared_error"), data)
    assert_allclose(program.parameters[0].value, expected)


# Batches


def test_batches_visit_the_order():
    data = regression_data(n=7, weights=True)
    order = np.random.default_rng(3).permutation(7).astype(np.intp)
    program, other = (build([dense(3, 2, "tanh")], 3) for _ in range(2))
    trainer = make_trainer(program, "mean_squared_error", capacity=3)
    assert train(trainer, data, order, 3, values=[[0.1]] * 5) == 3
    assert (trainer.rows, trainer.state.iterations) == (7, 3)

    singly = make_trainer(other, "mean_squared_error")
    for rows in (order[:3], order[3:6], order[6:]):
        train(singly, Dataset(data.x[rows], data.y[rows], data.weights[rows]), values=[[0.1]])
    assert_array_equal(program.parameters[0].value, other.parameters[0].value)
    assert_array_equal(trainer.totals, singly.totals)


def test_an_epoch_may_be_run_in_parts():
    data = regression_data()
    whole, parts = (build([dense(3, 2)], 3) for _ in range(2))
    train(make_trainer(whole, "mean_squared_error"), data, None, 2, values=[[0.1]] * 4)
    trainer = make_trainer(parts, "mean_squared_error")
    assert train(trainer, data, None, 2, first=0, values=[[0.1]]) == 1
    assert train(trainer, data, None, 2, first=1, values=[[0.1]] * 2, budget=FOREVER) == 2
    assert train(trainer, data, None, 2, first=3, values=[[0.1]] * 9) == 1
    assert train(trainer, data, None, 2, first=4, values=[[0.1]]) == 0
    assert_array_equal(whole.parameters[0].value, parts.parameters[0].value)


def test_each_step_has_hyperparameters_of_its_own():
    data = Dataset(np.ones((2, 1)), np.zeros((2, 1)))
    program = build([dense(1, 1, bias=False)], 1)
    kernel = program.parameters[0]
    kernel.assign([[1.0]])
    train(make_trainer(program, "mean_squared_error"), data, None, 1, values=[[0.25], [0.125]])
    assert_array_equal(kernel.value, [[(1 - 2 * 0.25) * (1 - 2 * 0.125)]])


def test_budget_is_kept_but_a_step_is_made():
    data = regression_data()
    trainer = make_trainer(build([dense(3, 2)], 3), "mean_squared_error")
    assert train(trainer, data, None, 2, values=[[0.1]] * 4, budget=0.0) == 1
    assert trainer.evaluate(data, 2, 0, 0.0) == 1
    assert trainer.evaluate(data, 2, 0, FOREVER) == 4


def test_no_rows_no_steps():
    data = regression_data(n=0)
    trainer = make_trainer(build([dense(3, 2)], 3), "mean_squared_error")
    assert train(trainer, data) == 0
    assert trainer.evaluate(data, 8, 0, FOREVER) == 0


def test_evaluate_changes_no_weights():
    program = build([dense(3, 2), DropoutOp(2, 2, 0.5, 1)], 3)
    before, versions = values_of(program), versions_of(program)
    trainer = make_trainer(program, "mean_squared_error")
    data = regression_data()
    assert trainer.evaluate(data, 3, 0, FOREVER) == 3
    kernel, bias = before
    assert_allclose(trainer.totals[0], 7 * np.mean((data.x @ kernel + bias - data.y) ** 2))
    for parameter, value in zip(program.parameters, before, strict=True):
        assert_array_equal(parameter.value, value)
    assert versions_of(program) == versions


def test_weights_and_penalties_in_the_loss():
    program = build([dense(3, 2, regularizer=L1L2(0.5, 0.25))], 3)
    kernel, bias = values_of(program)
    data = regression_data(weights=True)
    values = np.mean((data.x @ kernel + bias - data.y) ** 2, axis=1)
    penalty = 0.5 * np.abs(kernel).sum() + 0.25 * np.square(kernel).sum()
    expected = 7 * (np.sum(data.weights * values) / 7 + penalty)
    trainer = make_trainer(program, "mean_squared_error")
    trainer.evaluate(data, 7, 0, FOREVER)
    assert_allclose(trainer.totals[0], expected)
    trainer.reset()
    assert (trainer.totals[0], trainer.rows) == (0, 0)


# Metrics


def test_metrics_are_summed_over_rows_without_weights():
    data = Dataset(np.eye(4), np.array([[1.0], [0], [1], [1]]), np.array([9.0, 9, 9, 9]))
    program = build([dense(4, 1, "sigmoid", bias=False)], 4)
    program.parameters[0].assign([[2.0], [1.0], [-1.0], [0.1]])
    counted = [metrics.BinaryAccuracy(), metrics.BinaryAccuracy(threshold=0.6)]
    trainer = make_trainer(program, "binary_crossentropy", "sigmoid", counted)
    trainer.evaluate(data, 3, 0, FOREVER)
    # sigmoid(0.1) = 0.525 is a hit at 0.5 only; the metrics see probabilities, not logits.
    assert_array_equal(trainer.totals[1:], [2, 1])
    assert trainer.rows == 4


def test_custom_metric_is_given_each_batch():
    batches = []

    class Collector(metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            batches.append((y_true.copy(), y_pred.copy()))

    program = build([dense(3, 2, "softmax")], 3)
    data = label_data()
    trainer = make_trainer(program, "sparse_categorical_crossentropy", "softmax", [Collector()])
    train(trainer, data, None, 4, values=[[0.0]] * 2)
    out = np.empty((7, 2))
    ReferenceEngine(program).forward(data.x, out)
    assert_array_equal(np.concatenate([y for y, _ in batches]), data.y)
    assert_allclose(np.concatenate([p for _, p in batches]), out)
    assert trainer.totals[1] == 0


# Updates


RULES = [
    ("sgd", {"learning_rate": 0.1, "weight_decay": 0.01}),
    ("rmsprop", {"learning_rate": 0.1, "rho": 0.8, "epsilon": 1e-3}),
    ("adagrad", {"learning_rate": 0.1, "epsilon": 1e-3}),
    ("adam", {"learning_rate": 0.1, "beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3, "step": 1}),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("kernel", "options"), RULES)
def test_update_is_the_kernel_of_the_rule(kernel, options, dtype):
    data = regression_data(dtype=dtype)
    start, descended, program = (build([dense(3, 2)], 3, dtype) for _ in range(3))
    train(make_trainer(descended, "mean_squared_error"), data, values=[[1.0]])
    trainer = make_trainer(program, "mean_squared_error", rule=UpdateRule(kernel, tuple(options)))
    train(trainer, data, values=[list(options.values())])
    for before, after, updated in zip(
        values_of(start), values_of(descended), program.parameters, strict=True
    ):
        slots = [np.full_like(before, value) for value in SLOTS[kernel]]
        gradient = before - after
        getattr(reference, kernel)(before, gradient, *slots, **options)
        assert updated.value.dtype == dtype
        assert_allclose(updated.value, before, rtol=1e-5)
        for slot, expected in zip(trainer.state.slots, slots, strict=True):
            assert_allclose(program.layout.view(slot, updated), expected, rtol=1e-5)


def clipped_gradients(bound, **rule):
    """Return the gradients of two parameters without and with clipping."""
    gradients = []
    for bounds in ({}, {next(iter(rule)): bound} if rule else {}):
        program = build([dense(3, 2)], 3)
        before = values_of(program)
        sgd = UpdateRule("sgd", ("learning_rate",), **bounds)
        train(make_trainer(program, "mean_squared_error", rule=sgd), regression_data())
        gradients.append([b - p.value for b, p in zip(before, program.parameters, strict=True)])
    return gradients


def test_clipvalue():
    plain, clipped = clipped_gradients(0.5, clipvalue=True)
    assert max(np.abs(g).max() for g in plain) > 0.5
    for before, after in zip(plain, clipped, strict=True):
        assert_allclose(after, np.clip(before, -0.5, 0.5))


@pytest.mark.parametrize("bound", [0.25, 1e3])
def test_clipnorm(bound):
    plain, clipped = clipped_gradients(bound, clipnorm=True)
    for before, after in zip(plain, clipped, strict=True):
        norm = np.linalg.norm(before)
        assert_allclose(after, before * min(1, bound / norm), rtol=1e-9)


@pytest.mark.parametrize("bound", [0.25, 1e3])
def test_global_clipnorm(bound):
    plain, clipped = clipped_gradients(bound, global_clipnorm=True)
    norm = np.sqrt(sum(np.sum(g**2) for g in plain))
    for before, after in zip(plain, clipped, strict=True):
        assert_allclose(after, before * min(1, bound / norm), rtol=1e-9)


def test_frozen_parameters_stay_and_count_in_no_norm():
    frozen, free = (build([dense(3, 4), dense(4, 2, bias=False)], 3) for _ in range(2))
    frozen.parameters[0].trainable = False
    frozen.parameters[0].regularizer = L1L2(1.0, 1.0)
    before = values_of(frozen)
    rule = UpdateRule("sgd", ("learning_rate",), global_clipnorm=0.1)
    trainer = make_trainer(frozen, "mean_squared_error", rule=rule)
    train(trainer, regression_data())
    change = [b - p.value for b, p in zip(before, frozen.parameters, strict=True)]
    assert_array_equal(change[0], 0)
    assert_allclose(np.sqrt(sum(np.sum(c**2) for c in change)), 0.1)
    unpenalised = make_trainer(free, "mean_squared_error")
    train(unpenalised, regression_data())
    assert trainer.totals[0] == unpenalised.totals[0]


def test_block_is_touched_and_steps_are_counted():
    program = build([dense(3, 2)], 3)
    versions = versions_of(program)
    trainer = make_trainer(program, "mean_squared_error")
    train(trainer, regression_data(), None, 4, values=[[0.1]] * 2)
    assert versions_of(program) != versions
    assert trainer.state.iterations == 2


def test_learns_xor():
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    y = np.array([[0], [1], [1], [0]], np.float32)
    program = build([dense(2, 8, "tanh"), dense(8, 1, "sigmoid")], 2, np.float32)
    rule = UpdateRule("adam", ("learning_rate", "step"))
    trainer = make_trainer(program, "binary_crossentropy", "sigmoid", rule=rule)
    for step in range(1, 201):
        train(trainer, Dataset(x, y), values=[[0.05, step]])
    out = np.empty_like(y)
    ReferenceEngine(program).forward(x, out)
    assert_array_equal(out > 0.5, y == 1)


# Errors and interruption


def snapshot(trainer):
    return [
        *(a.copy() for a in values_of(trainer.program)),
        *(slot.copy() for slot in trainer.state.slots),
        trainer.totals.copy(),
        np.array([trainer.rows, trainer.state.iterations]),
    ]


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def interrupted_train(trainer, data, events):
    """Train for one step; raise KeyboardInterrupt after so many lines. Return if it was raised."""
    left = events

    def tracer(frame, event, argument):
        nonlocal left
        if event == "line":
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return tracer

    former = sys.gettrace()
    gc.disable()  # what others have called on a collection would swallow the exception
    sys.settrace(tracer)
    try:
        train(trainer, data, values=[[0.1, 1]])
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(former)
        gc.enable()
    return False


@pytest.mark.slow
def test_interruption_at_any_line_leaves_a_finished_step():
    data = regression_data(n=3)
    rule = UpdateRule("adam", ("learning_rate", "step"))
    program = build([dense(3, 2, "tanh", regularizer=L1L2(0.1, 0.1)), dense(2, 2)], 3)
    start = values_of(program)

    def fresh_trainer():
        for parameter, value in zip(program.parameters, start, strict=True):
            parameter.assign(value)
        return make_trainer(program, "mean_squared_error", rule=rule)

    trainer = fresh_trainer()
    before = snapshot(trainer)
    train(trainer, data, values=[[0.1, 1]])
    after = snapshot(trainer)
    events, seen = 0, []
    while True:
        trainer = fresh_trainer()
        if not interrupted_train(trainer, data, events):
            break
        now = snapshot(trainer)
        seen.append("before" if same(now, before) else "after" if same(now, after) else "between")
        events += 1
    assert set(seen) == {"before", "after"}
    assert seen.count("before") > 100


def test_step_activation_cannot_be_trained_and_nothing_changes():
    trainer = make_trainer(build([dense(3, 2, "step")], 3), "mean_squared_error")
    before = snapshot(trainer)
    with pytest.raises(ValueError, match=r"fastnn\.Perceptron"):
        train(trainer, regression_data())
    assert same(snapshot(trainer), before)


def broken(part):
    """Return an activation of which one method returns a wrong shape."""

    class Broken(activations.ActivationFunction):
        def forward(self, x):
            return x[:, :1] if part == "forward" else x

        def backward(self, grad, x, y):
            return grad[:, :1] if part == "backward" else grad

    return Broken()


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_custom_activation_of_wrong_shape(part):
    program = build([dense(3, 2), ActivationOp(2, 2, broken(part))], 3)
    trainer = make_trainer(program, "mean_squared_error")
    before = snapshot(trainer)
    message = rf"Broken\.{part} must return an array of shape \(7, 2\), got \(7, 1\)"
    with pytest.raises(ValueError, match=message):
        train(trainer, regression_data())
    assert same(snapshot(trainer), before)


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_custom_loss_of_wrong_shape(part):
    class Broken(losses.Loss):
        def forward(self, y_true, y_pred):
            return np.zeros(3 if part == "forward" else 7)

        def backward(self, y_true, y_pred):
            return np.zeros(2)

    trainer = make_trainer(build([dense(3, 2)], 3), Broken())
    with pytest.raises(ValueError, match=rf"Broken\.{part} must return an array of shape"):
        train(trainer, regression_data())


def test_custom_code_cannot_write_to_the_engines_arrays():
    class Careless(activations.ActivationFunction):
        def forward(self, x):
            x *= 2
            return x

        def backward(self, grad, x, y):
            return grad

    x = np.ones((2, 2))
    with pytest.raises(ValueError, match="read-only"):
        ReferenceEngine(build([ActivationOp(2, 2, Careless())], 2)).forward(x, np.empty((2, 2)))
    assert_array_equal(x, 1)


def test_custom_activation_may_return_the_same_array_each_time():
    class Hoarder(activations.ActivationFunction):
        memory = np.empty((7, 3))

        def forward(self, x):
            self.memory[...] = x + 1
            return self.memory

        def backward(self, grad, x, y):
            assert_array_equal(y, x + 1)
            return grad

    ops = [ActivationOp(3, 3, Hoarder()), ActivationOp(3, 3, Hoarder())]
    trainer = make_trainer(build(ops, 3), "mean_squared_error")
    assert train(trainer, regression_data(outputs=3)) == 1


def test_unknown_update_kernel():
    with pytest.raises(ValueError, match=r"Unknown update kernel 'adm'. Did you mean 'adam'"):
        make_trainer(build([dense(3, 2)], 3), "hinge", rule=UpdateRule("adm", ()))


@pytest.mark.parametrize("batch_size", [0, 65])
def test_batch_size_beyond_the_capacity(batch_size):
    trainer = make_trainer(build([dense(3, 2)], 3), "mean_squared_error", capacity=64)
    with pytest.raises(ValueError, match=r"batch_size must lie in \[1, 64\]"):
        train(trainer, regression_data(), batch_size=batch_size)


def test_infinite_weights_are_silent():
    program = build([dense(3, 2, regularizer=L1L2(0.1, 0.1))], 3)
    program.parameters[0].assign(np.full((3, 2), np.inf))
    rule = UpdateRule("sgd", ("learning_rate",), global_clipnorm=1.0)
    trainer = make_trainer(program, "mean_squared_error", rule=rule)
    assert train(trainer, regression_data(weights=True)) == 1
    assert not np.isfinite(trainer.totals[0])
