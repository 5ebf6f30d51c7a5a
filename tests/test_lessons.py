"""What networks are known to do, from end to end."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fastnn import Sequential, utils
from fastnn.callbacks import EarlyStopping
from fastnn.layers import Activation, Dense, Dropout
from fastnn.optimizers import SGD, Adam

ENGINES = ["native", "reference"]


@pytest.mark.parametrize("engine", ENGINES)
def test_one_hidden_layer_learns_xor(engine):
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    model = Sequential([Dense(8, "tanh", input_dim=2), Dense(1, "sigmoid")], engine=engine)
    model.compile(Adam(0.05), "binary_crossentropy")
    model.fit(x, y, epochs=300, verbose=0)
    assert (model.predict(x)[:, 0] > 0.5).tolist() == [False, True, True, False]


def overlapping_classes(classes):
    """Classes that no hyperplane separates: the best weights are finite."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    scores = x @ rng.normal(size=(3, classes)) + rng.gumbel(size=(300, classes))
    return x, scores.argmax(axis=1)


def test_a_sigmoid_unit_is_logistic_regression():
    x, y = overlapping_classes(2)
    model = Sequential([Dense(1, "sigmoid", input_dim=3)], dtype="float64")
    model.compile(SGD(1.0, momentum=0.9), "binary_crossentropy")
    model.fit(x, y, batch_size=len(x), epochs=2000, verbose=0)
    kernel, bias = model.get_weights()
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, y)
    np.testing.assert_allclose(kernel[:, 0], exact.coef_[0], atol=1e-3)
    np.testing.assert_allclose(bias, exact.intercept_, atol=1e-3)


def test_a_softmax_layer_is_multinomial_regression():
    x, y = overlapping_classes(3)
    model = Sequential([Dense(3, "softmax", input_dim=3)], dtype="float64")
    model.compile(SGD(1.0, momentum=0.9), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=len(x), epochs=2000, verbose=0)
    kernel, _ = model.get_weights()
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, y).coef_
    centred = kernel - kernel.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(centred.T, exact - exact.mean(axis=0), atol=1e-3)


def test_a_deep_linear_network_is_one_matrix():
    layers = [Dense(7, input_dim=5), Dense(6), Dense(2)]
    model = Sequential(layers, dtype="float64")
    x = np.random.default_rng(1).normal(size=(9, 5))
    product = layers[0].kernel @ layers[1].kernel @ layers[2].kernel
    np.testing.assert_allclose(model.predict(x), x @ product, rtol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_code_written_for_keras_runs(engine, capsys, monkeypatch):
    monkeypatch.setenv("FASTNN_ENGINE", engine)
    rng = np.random.default_rng(2)
    X = rng.normal(size=(400, 4)).astype("float32")
    Y = np.eye(3)[(X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)]

    utils.clear_session()
    model = Sequential()
    model.add(Dense(8, input_dim=4, activation="relu"))
    model.add(Dense(8))
    model.add(Activation("relu"))
    model.add(Dropout(0.1))
    model.add(Dense(3, activation="softmax"))
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.summary()
    stop = EarlyStopping(monitor="val_loss", patience=5, restore_best_weights=True)
    history = model.fit(
        X,
        Y,
        epochs=60,
        batch_size=16,
        validation_split=0.25,
        callbacks=[stop],
        verbose=2,
        class_weight={0: 1.0, 1: 1.0, 2: 2.0},
    )
    score = model.evaluate(X, Y, verbose=0)
    predicted = np.argmax(model.predict(X, verbose=0), axis=1)

    out = capsys.readouterr().out
    assert "Total params: 139" in out
    assert "val_accuracy" in out
    assert set(history.history) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert score[1] == pytest.approx(np.mean(predicted == Y.argmax(axis=1)))
    assert score[1] > 0.85
    assert [w.shape for w in model.get_weights()] == [(4, 8), (8,), (8, 8), (8,), (8, 3), (3,)]
