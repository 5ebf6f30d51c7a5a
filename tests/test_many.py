"""`fit_many`: the same as one fit after the other, on several threads."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from states import assert_same

import fastnn
from fastnn import Sequential, fit_many
from fastnn.callbacks import Callback, LambdaCallback
from fastnn.layers import Dense, Dropout

X = np.random.default_rng(0).normal(size=(300, 6))
Y = np.random.default_rng(1).integers(0, 3, 300)


def make_models(count=5):
    fastnn.utils.set_random_seed(7)
    models = []
    for i in range(count):
        layers = [Dense(8 + i, "relu", input_dim=6), Dropout(0.1), Dense(3, "softmax")]
        models.append(Sequential(layers))
        models[-1].compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return models


def weights_of(models):
    return [w for model in models for w in model.get_weights()]


@pytest.mark.parametrize("n_jobs", [1, 2, 7, None])
def test_results_do_not_depend_on_the_number_of_jobs(n_jobs):
    alone, together = make_models(), make_models()
    fastnn.utils.set_random_seed(3)
    expected = fit_many(alone, X, Y, epochs=3, n_jobs=1)
    fastnn.utils.set_random_seed(3)
    histories = fit_many(together, X, Y, epochs=3, n_jobs=n_jobs)
    assert_same(weights_of(together), weights_of(alone))
    assert [h.history for h in histories] == [h.history for h in expected]
    assert [h.model for h in histories] == together


def test_it_does_what_fit_does():
    alone, together = make_models(), make_models()
    for model in alone:
        model.fit(X, Y, batch_size=50, epochs=2, shuffle=False, verbose=0)
    fit_many(together, X, Y, batch_size=50, epochs=2, shuffle=False)
    assert_same(weights_of(together), weights_of(alone))


def test_shuffles_differ_between_models():
    models = make_models(2)
    models[1].set_weights([np.ones(w.shape) for w in models[1].get_weights()])
    same = [Sequential.from_config(models[0].get_config()) for _ in range(2)]
    for model in same:
        model.set_weights(models[0].get_weights())
        model.compile("adam", "sparse_categorical_crossentropy")
    fit_many(same, X, Y)
    first, second = (model.get_weights()[0] for model in same)
    assert not np.array_equal(first, second)


def test_data_for_each_model():
    alone, together = make_models(2), make_models(2)
    parts = [X[:100], X[100:]], [Y[:100], Y[100:]]
    for model, x, y in zip(alone, *parts, strict=True):
        model.fit(x, y, shuffle=False, verbose=0, validation_data=(x, y))
    histories = fit_many(
        together, *parts, shuffle=False, validation_data=list(zip(*parts, strict=True))
    )
    assert_same(weights_of(together), weights_of(alone))
    assert all("val_accuracy" in history.history for history in histories)


def test_rows_given_as_lists_are_data_for_all():
    models = make_models(2)
    fit_many(models, X[:2].tolist(), Y[:2].tolist())
    assert all(model.history is not None for model in models)


@pytest.mark.parametrize("dtypes", [("float32", "float32"), ("float32", "float64")])
def test_the_same_inputs_are_given_to_each_in_its_dtype(dtypes, monkeypatch):
    seen = []
    fit = Sequential.fit
    monkeypatch.setattr(
        Sequential,
        "fit",
        lambda model, x, *rest, **more: seen.append(x) or fit(model, x, *rest, **more),
    )
    models = [Sequential([Dense(3, input_dim=6)], dtype=dtype) for dtype in dtypes]
    for model in models:
        model.compile("sgd", "sparse_categorical_crossentropy")
    fit_many(models, X.astype(np.float64), Y)
    same = dtypes[0] == dtypes[1]
    assert [x.dtype for x in seen] == [np.dtype("float32" if same else "float64")] * 2
    assert seen[0] is seen[1]


def test_numbers_too_large_change_no_model():
    models = make_models(2)
    before = weights_of(models)
    with pytest.raises(ValueError, match=r"x holds 1e\+300 at \[0, 0\], too large for float32"):
        fit_many(models, np.full(X.shape, 1e300), Y)
    assert_same(weights_of(models), before)


def test_no_models():
    assert fit_many([], X, Y) == []


def test_callbacks_of_each_model():
    seen = [[], []]
    callbacks = [
        [LambdaCallback(on_epoch_end=lambda epoch, logs, i=i: seen[i].append(epoch))]
        for i in range(2)
    ]
    fit_many(make_models(2), X, Y, epochs=2, callbacks=callbacks)
    assert seen == [[0, 1], [0, 1]]


def test_bar(capsys):
    fit_many(make_models(2), X, Y, verbose=1)
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": [X]}, ValueError, "x must have an array for each of 2 models, got 1"),
        ({"y": [Y] * 3}, ValueError, "y must have an array for each of 2 models, got 3"),
        ({"sample_weight": [None]}, ValueError, "sample_weight must have an entry for each of 2"),
        ({"callbacks": Callback()}, TypeError, "callbacks must be a list with a sequence"),
        ({"n_jobs": 0}, ValueError, "n_jobs"),
    ],
)
def test_wrong_arguments(arguments, error, message):
    models = make_models(2)
    before = weights_of(models)
    with pytest.raises(error, match=message):
        fit_many(models, **({"x": X, "y": Y} | arguments))
    assert_same(weights_of(models), before)


def test_only_models():
    with pytest.raises(TypeError, match="expects Sequential models, got int"):
        fit_many([3], X, Y)


def test_shared_layers_are_refused():
    shared = Dense(6, input_dim=6)
    models = [Sequential([shared, Dense(1, name=f"own_{i}")], name=f"model_{i}") for i in range(2)]
    with pytest.raises(
        ValueError, match=r"must not share layers: '.*' is in 'model_0' and 'model_1'"
    ):
        fit_many(models, X, Y)


def test_the_first_exception_comes_out_and_stops_the_others():
    models = make_models(3)
    started = threading.Event()

    def fail(epoch, logs):
        started.wait(60)
        raise ArithmeticError("stop here")

    callbacks = [
        [LambdaCallback(on_epoch_end=fail)],
        [LambdaCallback(on_epoch_begin=lambda epoch, logs: started.set())],
        [],
    ]
    with pytest.raises(ArithmeticError, match="stop here"):
        fit_many(models, X, Y, epochs=10**6, n_jobs=2, callbacks=callbacks)
    assert models[2].history is None
    models[1].fit(X, Y, verbose=0)  # it is free again


def test_ctrl_c_stops_all():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        main = threading.main_thread().ident
        timer = threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT))
        timer.start()
        models = make_models(4)
        with pytest.raises(KeyboardInterrupt):
            fit_many(models, X, Y, epochs=10**6, n_jobs=2)
        for model in models:
            model.fit(X, Y, verbose=0)
    finally:
        signal.signal(signal.SIGINT, before)


def test_shared_metrics_are_refused():
    shared = fastnn.metrics.AUC(name="shared")
    both = make_models(2)
    for model in both:
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[shared])
    with pytest.raises(ValueError, match="must not share metrics: 'shared' is in"):
        fit_many(both, X, Y)


def test_models_that_are_not_compiled_are_refused_before_any_is_trained():
    first, second = *make_models(1), Sequential([Dense(3, "softmax", input_dim=6)])
    before = first.get_weights()
    with pytest.raises(RuntimeError, match="fit_many needs a compiled model"):
        fit_many([first, second], X, Y)
    for a, b in zip(first.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
