"""NaN and infinity in x that the first epoch finds: the same error as before it, and no change."""

from __future__ import annotations

import numpy as np
import pytest
from states import assert_same
from test_engine_parity import ENGINES, make_program

import fastnn
from fastnn import Input, Sequential, _training, losses, optimizers
from fastnn.activations import ActivationFunction
from fastnn.callbacks import LambdaCallback
from fastnn.layers import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    GaussianNoise,
    Layer,
    Maxout,
    SimpleRNN,
)
from fastnn.program import Dataset, NotFiniteError, Objective

VALUES = {np.nan: "NaN", np.inf: "infinity", -np.inf: "-infinity"}

# The shape of a sample, rows of a batch, and layers: gathered first, in halves, in parts.
NETWORKS = {
    "small": ((5,), 7, lambda: [Dense(6, "tanh"), Dense(3)]),
    "halves": ((784,), 64, lambda: [Dense(128, "relu"), Dropout(0.2), Dense(3)]),
    "one product": ((784,), 64, lambda: [Dense(128)]),
    "parts": ((30,), 600, lambda: [Dense(64, "relu"), Dense(64, "tanh"), Dense(3)]),
    "statistics": ((9,), 16, lambda: [BatchNormalization(), Dense(8, "relu"), Dense(3)]),
    "noise": ((30,), 600, lambda: [GaussianNoise(0.1), Maxout(120), Dense(3)]),
    "steps": ((4, 5), 8, lambda: [SimpleRNN(6), Dense(3)]),
    "no weights": ((3,), 8, lambda: [GaussianNoise(0.1)]),
}

OPTIMIZERS = {
    "adam": lambda: optimizers.Adam(0.01, amsgrad=True),
    "averages": lambda: optimizers.SGD(0.1, 0.9, use_ema=True, ema_overwrite_frequency=3),
    "accumulated": lambda: optimizers.RMSprop(0.01, gradient_accumulation_steps=2),
}


@pytest.fixture(autouse=True)
def _late(monkeypatch):
    """Find out late with small data too."""
    monkeypatch.setattr(_training, "LATE_BYTES", 0)
    monkeypatch.setattr(_training, "LATE_COPIES", 0)


def compiled(name, optimizer="adam", dtype="float32", engine="native"):
    fastnn.utils.set_random_seed(1)
    shape, batch_size, layers = NETWORKS[name]
    model = Sequential([Input(shape), *layers()], dtype=dtype, engine=engine)
    model.compile(OPTIMIZERS[optimizer](), "mse", metrics=["mae"])
    rng = np.random.default_rng(2)
    rows = 3 * batch_size + 1
    return model, rng.normal(size=(rows, *shape)), rng.normal(size=(rows, model.output_shape[1]))


def fit(model, x, y, name, **options):
    fastnn.utils.set_random_seed(3)
    return model.fit(x, y, NETWORKS[name][1], epochs=2, verbose=0, **options)


def all_of(model):
    state = model.optimizer.state
    return [*model.get_weights(), *state.buffers, np.array(state.iterations)]


def copies_of(model):
    return [array.copy() for array in all_of(model)]


def spoiled(x, row, value=np.nan):
    x = x.copy()
    x[row].flat[-1] = value
    return x


def assert_undone(name, row, **options):
    """Fit, fit in vain and fit again, which is as if the second had not been tried."""
    model, x, y = compiled(name, **options)
    history = fit(model, x, y, name)
    before = copies_of(model)
    place = [row, *(size - 1 for size in x.shape[1:])]
    with pytest.raises(ValueError, match="x contains NaN at " + str(place).replace("[", r"\[")):
        fit(model, spoiled(x, row), y, name)
    assert model.history is history
    assert_same(all_of(model), before)
    twin = compiled(name, **options)[0]
    fit(twin, x, y, name)
    for each in model, twin:
        fit(each, x, y, name)
    assert_same(all_of(model), all_of(twin))
    assert model.history.history == twin.history.history


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_has_changed(isa, name, dtype):
    rows = 3 * NETWORKS[name][1] + 1
    for threads in (1, 2, 3):
        with fastnn.use_threads(threads):
            assert_undone(name, (rows * threads) // 4, dtype=dtype)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("row", [0, 11, 21])
def test_nothing_has_changed_whatever_the_optimizer_keeps(engine, optimizer, row):
    assert_undone("small", row, engine=engine, optimizer=optimizer)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("value", VALUES)
def test_no_column_is_overlooked(isa, value, dtype):
    for columns in (1, 2, 7, 8, 15, 16, 17, 33, 50):
        model = Sequential([Input((columns,)), Dense(1)], dtype=dtype)
        model.compile("sgd", "mse")
        for column in range(columns):
            x = np.ones((5, columns), dtype)
            x[3, column] = value
            with pytest.raises(ValueError, match=f"x contains {VALUES[value]} at "):
                model.fit(x, np.ones(5), 2, verbose=0)


def test_large_numbers_are_none_of_them():
    model = Sequential([Input((20,)), Dense(1)])
    model.compile(optimizers.SGD(1e-30), "mse")
    x = np.full((6, 20), np.finfo(np.float32).max)
    x[::2] *= -1
    with np.errstate(all="ignore"):
        model.fit(x, np.ones(6), 2, verbose=0)
    assert model.optimizer.iterations == 3


def test_numbers_too_large_for_the_model_are_named():
    model, x, y = compiled("small")
    with pytest.raises(ValueError, match=r"x holds 1e\+300 at \[4, 4\], too large for float32"):
        fit(model, spoiled(x, 4, 1e300), y, "small")


class Seen(ActivationFunction):
    """Keeps whether all that it is asked for is finite."""

    def __init__(self):
        self.finite = []

    def forward(self, x):
        self.finite.append(bool(np.isfinite(x).all()))
        return x

    def backward(self, grad, x, y):
        return grad


class CountedLoss(losses.Loss):
    calls = 0

    def forward(self, y_true, y_pred):
        self.calls += 1
        return np.zeros(len(y_true), y_pred.dtype)

    def backward(self, y_true, y_pred):
        return np.zeros_like(y_pred)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("inputs", [5, 784])
def test_functions_of_the_user_never_see_one(engine, inputs):
    seen, loss = Seen(), CountedLoss()
    model = Sequential([Input((inputs,)), Dense(128), Activation(seen), Dense(1)], engine=engine)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=rf"x contains NaN at \[261, {inputs - 1}\]"):
        model.fit(spoiled(np.ones((300, inputs)), 261), np.ones(300), 64, verbose=0)
    assert len(seen.finite) == loss.calls < 5
    assert all(seen.finite)


def test_there_are_copies_in_the_first_epoch_alone(monkeypatch):
    states = []
    undone = _training._undone_if_not_finite
    monkeypatch.setattr(
        _training, "_undone_if_not_finite", lambda state: states.append(state) or undone(state)
    )
    model, x, y = compiled("small")
    history = fit(model, x, y, "small", validation_data=(x, y))
    assert len(history.epoch) == 2
    assert states == [model.optimizer.state]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_validation_data_is_not_reached(engine):
    model, x, y = compiled("small", engine=engine)
    with pytest.raises(ValueError, match="x contains NaN"):
        fit(model, spoiled(x, 9), y, "small", validation_data=(x, y))
    assert model.history is None


# What is looked at before the first step


def counted_begins(model, x, y, name, **options):
    """Return how many epochs are begun by a fit that is refused."""
    begun = []
    callback = LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    with pytest.raises(ValueError, match="x contains NaN"):
        fit(model, x, y, name, callbacks=[callback], **options)
    return len(begun)


def test_callbacks_hear_of_no_fit_that_is_refused():
    model, x, y = compiled("small")
    assert counted_begins(model, spoiled(x, 9), y, "small") == 0


@pytest.mark.parametrize("options", [{"shuffle": False}, {"validation_split": 0.5}])
def test_rows_that_no_order_names_are_seen(options):
    model, x, y = compiled("small")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"x contains NaN at \[21, 4\]"):
        fit(model, spoiled(x, 21), y, "small", **options)
    assert_same(model.get_weights(), before)


def test_a_model_that_is_not_built_stays_so():
    model = Sequential([Dense(2)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="x contains NaN"):
        model.fit(spoiled(np.ones((4, 3)), 1), np.ones((4, 2)), verbose=0)
    assert not model.built


class Counter(Layer):
    """Keeps a number that fastnn does not know of."""

    calls = 0

    def compute_output_shape(self, input_shape):
        return input_shape

    def forward(self, x, training):
        self.calls += training
        return x

    def backward(self, gradient, x, y):
        return gradient


def test_layers_that_keep_what_they_like_are_not_asked():
    counter = Counter()
    model = Sequential([Input((3,)), counter, Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="x contains NaN"):
        model.fit(spoiled(np.ones((8, 3)), 1), np.ones(8), 2, verbose=0)
    assert counter.calls == 0
    model.fit(np.ones((8, 3)), np.ones(8), 2, verbose=0)
    assert counter.calls == 4


def test_for_which_inputs_it_pays(monkeypatch):
    monkeypatch.undo()
    model, *_ = compiled("small")
    program = model._ready()[1]
    adam, lbfgs = optimizers.Adam(), optimizers.LBFGS()
    rows = _training.LATE_BYTES // (8 * 5)
    enough = np.broadcast_to(np.float64(0), (rows + 1, 5))
    assert _training.may_find_out_late(program, adam, enough)
    assert not _training.may_find_out_late(program, lbfgs, enough)
    assert not _training.may_find_out_late(program, adam, enough[:-1])
    assert not _training.may_find_out_late(program, adam, enough.astype(np.int64))
    wide = Sequential([Input((5,)), Dense(70_000), Dense(1)])._ready()[1]
    assert 3 * 4 * wide.layout.size * _training.LATE_COPIES > enough.nbytes
    assert not _training.may_find_out_late(wide, adam, enough)


# Trainers


@pytest.mark.parametrize("engine", ENGINES)
def test_a_trainer_stops_before_the_step_that_meets_one(engine):
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(20, 4)), rng.normal(size=(20, 2))
    order, rows = np.arange(20)[::-1].copy(), optimizers.SGD(0.1).hyperparameters(0, 4)
    results = []
    for steps, values in ((4, spoiled(x, 7)), (2, x)):
        program = make_program((4, 3, 2), "float64", ("tanh", "linear"))
        optimizer = optimizers.SGD(0.1)
        state = optimizer.new_state(program.layout)
        objective = Objective(losses.get("mse"), None, ())
        trainer = engine(program).trainer(objective, optimizer.rule(), state, 5)
        train = trainer.train, Dataset(values, y, None, False), order, 5, 0, rows[:steps], 60.0
        if steps == 4:
            with pytest.raises(NotFiniteError):
                train[0](*train[1:])
        else:
            train[0](*train[1:])
        assert (state.iterations, trainer.rows) == (2, 10)
        trainer.evaluate(Dataset(x, y), 5, 0, 60.0)
        results.append([*(p.numpy() for p in program.parameters), trainer.totals])
    assert_same(*results)
