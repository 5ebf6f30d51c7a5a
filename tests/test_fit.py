"""Training: what a fit computes, reports and leaves behind."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import Callback, EarlyStopping, LambdaCallback
from fastnn.layers import Dense
from fastnn.metrics import AUC, Precision
from fastnn.models import Sequential
from fastnn.optimizers import SGD, Adam
from fastnn.schedules import PiecewiseConstantDecay
from fastnn.utils import set_random_seed

N = 20


def linear_model(optimizer=None, metrics=None, units=1, **options):
    model = Sequential(
        [Dense(units, kernel_initializer="zeros", input_dim=2, **options)], dtype="float64"
    )
    model.compile(optimizer or SGD(0.1), "mse", metrics=metrics)
    return model


def data(seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    return x, x @ [[2.0], [-1.0]] + 0.5


def classifier(seed=0, **options):
    set_random_seed(seed)
    model = Sequential([Dense(8, "relu", input_dim=2), Dense(2, "softmax")], **options)
    model.compile(Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def labels(x):
    return (x[:, 0] > 0).astype(int)


class Recorder(Callback):
    """Notes which hooks are called, with which logs."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def on_train_begin(self, logs=None):
        self.calls.append("train_begin")

    def on_train_end(self, logs=None):
        self.calls.append("train_end")
        self.final = dict(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch_begin {epoch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"epoch_end {epoch} {' '.join(logs)}")

    def on_test_begin(self, logs=None):
        self.calls.append("test_begin")

    def on_test_end(self, logs=None):
        self.calls.append("test_end")


class BatchRecorder(Callback):
    def __init__(self):
        super().__init__()
        self.begun, self.losses, self.tests = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])

    def on_test_batch_end(self, batch, logs=None):
        self.tests.append(batch)


class TestAgainstNumpy:
    """Gradient descent on a linear model, written out by hand."""

    @staticmethod
    def descend(x, y, batch_size, epochs, rate=0.1, weights=None, l2=0.0):
        kernel, bias, losses = np.zeros((2, 1)), np.zeros(1), []
        factors = np.ones(len(x)) if weights is None else weights
        for _ in range(epochs):
            total = 0.0
            for start in range(0, len(x), batch_size):
                rows = slice(start, start + batch_size)
                w = factors[rows, None]
                error = x[rows] @ kernel + bias - y[rows]
                total += (w * error**2).sum() + len(error) * l2 * (kernel**2).sum()
                grad = 2 * w * error / len(error)
                kernel_grad = x[rows].T @ grad + 2 * l2 * kernel
                kernel, bias = kernel - rate * kernel_grad, bias - rate * grad.sum(axis=0)
            losses.append(total / len(x))
        return kernel, bias, losses

    @pytest.mark.parametrize("batch_size", [1, 6, 20, 100])
    def test_batches(self, batch_size):
        x, y = data()
        model = linear_model()
        history = model.fit(x, y, batch_size, epochs=3, shuffle=False, verbose=0)
        kernel, bias, losses = self.descend(x, y, batch_size, 3)
        np.testing.assert_allclose(model.layers[0].kernel, kernel, rtol=1e-10)
        np.testing.assert_allclose(model.layers[0].bias, bias, rtol=1e-10)
        np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-10)

    def test_sample_weights(self):
        x, y = data()
        weights = np.linspace(0, 2, N)
        model = linear_model()
        history = model.fit(x, y, 6, 2, shuffle=False, sample_weight=weights, verbose=0)
        kernel, _, losses = self.descend(x, y, 6, 2, weights=weights)
        np.testing.assert_allclose(model.layers[0].kernel, kernel, rtol=1e-10)
        np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-10)

    def test_penalty(self):
        x, y = data()
        model = linear_model(kernel_regularizer="l2")
        history = model.fit(x, y, 6, 2, shuffle=False, verbose=0)
        kernel, _, losses = self.descend(x, y, 6, 2, l2=0.01)
        np.testing.assert_allclose(model.layers[0].kernel, kernel, rtol=1e-7)
        np.testing.assert_allclose(history.history["loss"], losses, rtol=1e-7)
        mse = ((model(x) - y) ** 2).mean() + 0.01 * (model.layers[0].kernel ** 2).sum()
        assert model.evaluate(x, y, verbose=0) == pytest.approx(mse, rel=1e-7)

    def test_train_on_batch_is_one_step(self):
        x, y = data()
        model = linear_model()
        losses = [model.train_on_batch(x[s : s + 5], y[s : s + 5]) for s in range(0, N, 5)]
        kernel, _, epoch = self.descend(x, y, 5, 1)
        np.testing.assert_allclose(model.layers[0].kernel, kernel, rtol=1e-10)
        assert np.mean(losses) == pytest.approx(epoch[0])

    def test_schedule_counts_steps(self):
        x, y = data()
        model = linear_model(SGD(PiecewiseConstantDecay([1], [0.1, 0.0])))
        model.fit(x, y, 5, epochs=2, shuffle=False, verbose=0)
        expected = linear_model()
        for s in (0, 5):
            expected.train_on_batch(x[s : s + 5], y[s : s + 5])
        np.testing.assert_allclose(model.layers[0].kernel, expected.layers[0].kernel, rtol=1e-10)


class TestHistory:
    def test_keys_and_lengths(self):
        x, y = data()
        history = linear_model(metrics=["mae"]).fit(x, y, epochs=3, validation_split=0.2, verbose=0)
        assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
        assert {len(values) for values in history.history.values()} == {3}
        assert history.epoch == [0, 1, 2]

    def test_initial_epoch(self):
        x, y = data()
        model = linear_model()
        assert model.fit(x, y, epochs=5, initial_epoch=3, verbose=0).epoch == [3, 4]
        assert model.fit(x, y, epochs=2, initial_epoch=2, verbose=0).epoch == []

    def test_model_keeps_the_last(self):
        x, y = data()
        model = linear_model()
        assert model.history is None
        assert model.fit(x, y, verbose=0) is model.history

    def test_one_output_may_be_one_dimensional(self):
        x, y = data()
        one, other = linear_model(), linear_model()
        one.fit(x, y, shuffle=False, verbose=0)
        other.fit(x, y[:, 0], shuffle=False, verbose=0)
        np.testing.assert_array_equal(one.layers[0].kernel, other.layers[0].kernel)

    @pytest.mark.parametrize(
        "convert", [lambda y: y[:, None], lambda y: y.astype(float), lambda y: y.tolist(), np.int8]
    )
    def test_forms_of_labels(self, convert):
        x, _ = data()
        one, other = classifier(), classifier()
        one.fit(x, labels(x), shuffle=False, verbose=0)
        other.fit(x, convert(labels(x)), shuffle=False, verbose=0)
        np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])

    def test_stateful_metric(self):
        x, _ = data(n=50)
        model = Sequential([Dense(1, "sigmoid", input_dim=2)])
        model.compile(SGD(0.5), "binary_crossentropy", metrics=[AUC(name="auc")])
        history = model.fit(x, labels(x), 7, epochs=20, verbose=0)
        assert len(history.history["auc"]) == 20
        assert history.history["auc"][-1] > 0.95
        assert model.evaluate(x, labels(x), verbose=0)[1] == pytest.approx(
            model.evaluate(x, labels(x), batch_size=3, verbose=0)[1]
        )

    @pytest.mark.parametrize("engine", ["native", "reference"])
    @pytest.mark.parametrize("callbacks", [[], [LambdaCallback(on_train_batch_end=print)]])
    def test_metrics_with_several_results(self, engine, callbacks):
        x, _ = data(n=50)
        model = Sequential([Dense(2, "softmax", input_dim=2)], engine=engine)
        metrics = ["f1_score", "confusion_matrix", Precision([0.3, 0.7], name="precision")]
        model.compile(SGD(0.5), "sparse_categorical_crossentropy", metrics=metrics)
        history = model.fit(x, labels(x), 7, epochs=3, callbacks=callbacks, verbose=0).history
        shapes = {name: np.shape(values) for name, values in history.items()}
        assert shapes == {
            "loss": (3,),
            "f1_score": (3, 2),
            "confusion_matrix": (3, 2, 2),
            "precision": (3, 2),
        }
        # Each epoch has its own: they are no views of what the metric goes on with.
        np.testing.assert_array_equal(np.sum(history["confusion_matrix"], axis=(1, 2)), [50] * 3)
        results = model.evaluate(x, labels(x), verbose=0, return_dict=True)
        model.evaluate(x[:5], labels(x)[:5], verbose=0)
        assert results["confusion_matrix"].sum() == 50


class TestValidation:
    def test_split_takes_the_last(self):
        x, y = data()
        split, given = linear_model(), linear_model()
        one = split.fit(x, y, epochs=3, validation_split=0.25, shuffle=False, verbose=0)
        other = given.fit(
            x[:15], y[:15], epochs=3, validation_data=(x[15:], y[15:]), shuffle=False, verbose=0
        )
        assert one.history == other.history

    def test_is_what_evaluate_returns(self):
        x, y = data()
        model = linear_model(metrics=["mae"])
        history = model.fit(x, y, validation_data=data(1), verbose=0).history
        loss, mae = model.evaluate(*data(1), verbose=0)
        assert history["val_loss"] == [pytest.approx(loss)]
        assert history["val_mae"] == [pytest.approx(mae)]

    def test_weights_in_the_tuple(self):
        x, y = data()
        weights = np.linspace(0, 1, N)
        model = linear_model()
        history = model.fit(x, y, validation_data=[x, y, weights], verbose=0).history
        expected = model.evaluate(x, y, sample_weight=weights, verbose=0)
        assert history["val_loss"] == [pytest.approx(expected)]

    def test_sample_weights_are_split_too(self):
        x, y = data()
        weights = np.where(np.arange(N) < 15, 1.0, 3.0)
        model = linear_model(SGD(0.0))
        history = model.fit(
            x, y, validation_split=0.25, sample_weight=weights, shuffle=False, verbose=0
        ).history
        assert history["loss"] == [pytest.approx((y[:15] ** 2).mean())]
        assert history["val_loss"] == [pytest.approx(3 * (y[15:] ** 2).mean())]


class TestClassWeight:
    def test_multiplies_the_samples(self):
        x, _ = data()
        y = labels(x)
        one, other = classifier(), classifier()
        one.fit(
            x, y, class_weight={1: 3.0}, sample_weight=np.full(N, 0.5), shuffle=False, verbose=0
        )
        weights = np.where(y == 1, 1.5, 0.5)
        other.fit(x, y, sample_weight=weights, shuffle=False, verbose=0)
        np.testing.assert_array_equal(one.get_weights()[0], other.get_weights()[0])

    @pytest.mark.parametrize(
        ("loss", "outputs", "form"),
        [
            ("categorical_crossentropy", 2, lambda y: np.eye(2)[y]),
            ("binary_crossentropy", 1, lambda y: y),
            ("sparse_categorical_crossentropy", 2, lambda y: y),
        ],
    )
    def test_forms_of_targets(self, loss, outputs, form):
        x, _ = data()
        y = labels(x)
        model = Sequential([Dense(outputs, "sigmoid", kernel_initializer="zeros", input_dim=2)])
        model.compile(SGD(0.0), loss)
        only = model.train_on_batch(x, form(y), class_weight={0: 0.0, 1: 1.0})
        expected = model.evaluate(x, form(y), sample_weight=(y == 1).astype(float), verbose=0)
        assert only == pytest.approx(expected)


class TestShuffling:
    def test_it_visits_every_row_once(self):
        x = np.arange(10.0)[:, None]
        model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=1)], dtype="float64")
        model.compile(SGD(0.0), "mae")
        history = model.fit(x, x, batch_size=3, epochs=2, verbose=0)
        assert history.history["loss"] == [pytest.approx(4.5), pytest.approx(4.5)]

    def test_it_differs_from_epoch_to_epoch(self):
        class Watch(Callback):
            def __init__(self):
                super().__init__()
                self.first = []

            def on_train_batch_end(self, batch, logs=None):
                if batch == 0:
                    self.first.append(logs["loss"])

        x = np.arange(1000.0)[:, None]
        model = Sequential([Dense(1, kernel_initializer="zeros", input_dim=1)], dtype="float64")
        model.compile(SGD(0.0), "mae")
        watch = Watch()
        model.fit(x, x, batch_size=1, epochs=3, callbacks=[watch], verbose=0)
        assert len(set(watch.first)) == 3


class TestCallbacks:
    def test_order(self):
        x, y = data()
        recorder = Recorder()
        linear_model().fit(x, y, epochs=2, validation_split=0.5, callbacks=[recorder], verbose=0)
        epoch = ["test_begin", "test_end"]
        assert recorder.calls == [
            "train_begin",
            "epoch_begin 0", *epoch, "epoch_end 0 loss val_loss",
            "epoch_begin 1", *epoch, "epoch_end 1 loss val_loss",
            "train_end",
        ]  # fmt: skip
        assert list(recorder.final) == ["loss", "val_loss"]

    def test_batches(self):
        x, y = data()
        recorder = BatchRecorder()
        history = linear_model().fit(
            x, y, 6, validation_data=(x, y), callbacks=[recorder], shuffle=False, verbose=0
        )
        assert recorder.begun == [0, 1, 2, 3]
        assert recorder.tests == [0, 1, 2, 3]
        assert len(recorder.losses) == 4
        assert recorder.losses[-1] == history.history["loss"][0]

    def test_stop_after_an_epoch(self):
        class Stop(Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.stop_training = epoch == 1

        x, y = data()
        model = linear_model()
        assert model.fit(x, y, epochs=9, callbacks=[Stop()], verbose=0).epoch == [0, 1]
        assert model.fit(x, y, epochs=3, verbose=0).epoch == [0, 1, 2]

    def test_stop_within_an_epoch(self):
        class Stop(Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.stop_training = batch == 2

        x, y = data()
        model = linear_model()
        model.fit(x, y, 1, epochs=9, callbacks=[Stop()], verbose=0)
        assert model.optimizer.iterations == 3

    def test_learning_rate_set_between_epochs_counts(self):
        class Freeze(Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.optimizer.learning_rate = 0.0

        x, y = data()
        one, other = linear_model(), linear_model()
        one.fit(x, y, epochs=5, callbacks=[Freeze()], shuffle=False, verbose=0)
        other.fit(x, y, epochs=1, shuffle=False, verbose=0)
        np.testing.assert_array_equal(one.layers[0].kernel, other.layers[0].kernel)

    def test_may_evaluate_and_predict(self):
        seen = []

        class Look(Callback):
            def on_epoch_end(self, epoch, logs=None):
                seen.append(self.model.evaluate(*data(), verbose=0))
                self.model.predict(data()[0], verbose=0)

        x, y = data()
        plain, watched = linear_model(), linear_model()
        plain.fit(x, y, epochs=3, shuffle=False, verbose=0)
        watched.fit(x, y, epochs=3, callbacks=[Look()], shuffle=False, verbose=0)
        np.testing.assert_array_equal(plain.layers[0].kernel, watched.layers[0].kernel)
        assert seen[-1] == pytest.approx(plain.evaluate(x, y, verbose=0))

    def test_of_predict_and_evaluate(self):
        class Count(Callback):
            def __init__(self):
                super().__init__()
                self.batches = []

            def on_predict_batch_end(self, batch, logs=None):
                self.batches.append(len(logs["outputs"]))

            def on_test_batch_begin(self, batch, logs=None):
                self.batches.append(batch)

        x, y = data()
        count = Count()
        model = linear_model()
        model.predict(x, batch_size=8, callbacks=[count], verbose=0)
        assert count.batches == [8, 8, 4]
        model.evaluate(x, y, batch_size=8, callbacks=[count], verbose=0)
        assert count.batches == [8, 8, 4, 0, 1, 2]

    def test_best_weights_can_be_restored(self):
        x, y = data()
        model = linear_model(SGD(5.0))  # diverges
        first = linear_model(SGD(5.0))
        stop = EarlyStopping("loss", patience=2, restore_best_weights=True)
        history = model.fit(x, y, epochs=9, callbacks=[stop], shuffle=False, verbose=0)
        assert history.epoch == [0, 1, 2]
        first.fit(x, y, epochs=1, shuffle=False, verbose=0)
        np.testing.assert_array_equal(model.layers[0].kernel, first.layers[0].kernel)

    def test_params(self):
        x, y = data()
        callback = Callback()
        linear_model().fit(x, y, 6, epochs=2, callbacks=callback, verbose=0)
        assert callback.params == {"verbose": 0, "epochs": 2, "steps": 4}


class TestOutput:
    @pytest.mark.parametrize("verbose", ["auto", 1, 2])
    def test_a_line_for_each_epoch_where_there_is_no_terminal(self, capsys, verbose):
        x, y = data()
        linear_model().fit(x, y, 5, epochs=2, validation_split=0.2, verbose=verbose)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "Epoch 1/2"
        assert lines[1].startswith("4/4 - 0s")
        assert "loss: " in lines[1]
        assert "val_loss: " in lines[1]
        assert len(lines) == 4

    def test_evaluate_prints_its_values(self, capsys):
        linear_model(metrics=["mae"]).evaluate(*data())
        out = capsys.readouterr().out
        assert "loss: " in out
        assert "mae: " in out

    def test_silence(self, capsys):
        x, y = data()
        model = linear_model()
        model.fit(x, y, verbose=0)
        model.evaluate(x, y, verbose=0)
        model.predict(x)
        assert capsys.readouterr().out == ""


class TestInterruption:
    def test_signal(self):
        x, y = data(n=2000)
        model = linear_model(SGD(1e-6))
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        try:
            with pytest.raises(KeyboardInterrupt):
                model.fit(x, y, 1, epochs=10**6, verbose=0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert 0 <= model.optimizer.iterations - 2000 * len(model.history.epoch) <= 2000
        assert np.isfinite(model.layers[0].kernel).all()
        model.fit(x, y, verbose=0)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ArithmeticError])
    def test_model_and_history_stay_at_the_last_step(self, error):
        class Fail(Callback):
            def on_train_batch_end(self, batch, logs=None):
                if self.model.optimizer.iterations == 6:
                    raise error

        x, y = data()
        model, expected = linear_model(), linear_model()
        with pytest.raises(error):
            model.fit(x, y, 5, epochs=9, shuffle=False, callbacks=[Fail()], verbose=0)
        assert model.history.epoch == [0]
        assert len(model.history.history["loss"]) == 1
        for step in range(6):
            rows = slice(step % 4 * 5, step % 4 * 5 + 5)
            expected.train_on_batch(x[rows], y[rows])
        np.testing.assert_allclose(model.layers[0].kernel, expected.layers[0].kernel, rtol=1e-12)
        model.fit(x, y, verbose=0)


class TestOptimizerState:
    def test_goes_on_in_the_next_fit(self):
        x, _ = data()
        once, twice = classifier(), classifier()
        once.fit(x, labels(x), epochs=4, shuffle=False, verbose=0)
        for _ in range(2):
            twice.fit(x, labels(x), epochs=2, shuffle=False, verbose=0)
        np.testing.assert_array_equal(once.get_weights()[0], twice.get_weights()[0])
        assert twice.optimizer.iterations == 4

    def test_starts_afresh_when_compiled(self):
        x, _ = data()
        model = classifier()
        model.fit(x, labels(x), verbose=0)
        model.compile(model.optimizer, model.loss)
        model.fit(x, labels(x), verbose=0)
        assert model.optimizer.iterations == 1

    def test_starts_afresh_with_other_layers(self):
        x, _ = data()
        model = classifier()
        model.fit(x, labels(x), verbose=0)
        model.pop()
        model.add(Dense(2, "softmax", name="new"))
        model.fit(x, labels(x), verbose=0)
        assert model.optimizer.iterations == 1

    def test_one_optimizer_for_two_models(self):
        x, _ = data()
        optimizer = Adam(0.01)
        alone = classifier()
        alone.fit(x, labels(x), epochs=2, shuffle=False, verbose=0)
        one, other = classifier(), classifier()
        for model in (one, other):
            model.compile(optimizer, "sparse_categorical_crossentropy")
        for _ in range(2):
            for model in (one, other):
                model.fit(x, labels(x), shuffle=False, verbose=0)
        np.testing.assert_array_equal(one.get_weights()[0], alone.get_weights()[0])
        np.testing.assert_array_equal(other.get_weights()[0], alone.get_weights()[0])


class TestTrainable:
    def test_frozen_layers_stay(self):
        x, _ = data()
        model = classifier()
        model.layers[0].trainable = False
        before = model.get_weights()
        model.fit(x, labels(x), epochs=3, verbose=0)
        after = model.get_weights()
        np.testing.assert_array_equal(before[0], after[0])
        np.testing.assert_array_equal(before[1], after[1])
        assert not np.array_equal(before[2], after[2])

    def test_takes_effect_between_single_steps(self):
        x, y = data()
        model = linear_model()
        model.train_on_batch(x, y)
        model.trainable = False
        before = model.layers[0].kernel.copy()
        model.train_on_batch(x, y)
        np.testing.assert_array_equal(model.layers[0].kernel, before)
        model.trainable = True
        model.train_on_batch(x, y)
        assert not np.array_equal(model.layers[0].kernel, before)


class TestSingleBatches:
    def test_forms_of_result(self):
        x, y = data()
        model = linear_model(SGD(0.0), metrics=["mae"])
        loss, mae = model.test_on_batch(x, y)
        assert loss == pytest.approx((y**2).mean())
        assert mae == pytest.approx(np.abs(y).mean())
        named = {"loss": pytest.approx(loss), "mae": pytest.approx(mae)}
        for call in (model.test_on_batch, model.train_on_batch, model.evaluate):
            assert call(x, y, return_dict=True) == named
        assert isinstance(linear_model().train_on_batch(x, y), float)

    def test_sizes_may_change(self):
        x, y = data()
        model = linear_model()
        for n in (3, 20, 1, 7):
            model.train_on_batch(x[:n], y[:n])
        assert model.optimizer.iterations == 4

    def test_sample_weight(self):
        x, y = data()
        model = linear_model(SGD(0.0))
        assert model.train_on_batch(x, y, sample_weight=np.full(N, 2.0)) == pytest.approx(
            2 * (y**2).mean()
        )


class TestThreads:
    def test_training_from_two_threads_raises(self):
        x, y = data()
        model = linear_model()
        errors = []

        class Intrude(Callback):
            def on_epoch_end(self, epoch, logs=None):
                def train():
                    try:
                        model.fit(x, y, verbose=0)
                    except RuntimeError as error:
                        errors.append(str(error))

                thread = threading.Thread(target=train)
                thread.start()
                thread.join()

        history = model.fit(x, y, epochs=2, callbacks=[Intrude()], verbose=0)
        assert len(errors) == 2
        assert "is being trained already" in errors[0]
        assert model.history is history

    def test_prediction_goes_on_during_a_fit(self):
        x, y = data()
        model = linear_model()
        shapes = []

        class Look(Callback):
            def on_epoch_end(self, epoch, logs=None):
                thread = threading.Thread(target=lambda: shapes.append(model.predict(x).shape))
                thread.start()
                thread.join()

        model.fit(x, y, epochs=2, callbacks=[Look()], verbose=0)
        assert shapes == [(N, 1), (N, 1)]


class TestLearning:
    def test_deferred_model_is_built_by_fit(self):
        x, y = data()
        model = Sequential([Dense(1)])
        model.compile(SGD(0.2), "mse", metrics=["accuracy"])
        history = model.fit(x, y, epochs=50, verbose=0)
        assert model.input_shape == (None, 2)
        assert history.history["loss"][-1] < 1e-3


class TestTrainersThatAreKept:
    """A workspace serves the next fit; what has changed in between counts."""

    def model(self, units=4, inputs=3):
        fastnn.utils.set_random_seed(2)
        first = Dense(
            units,
            "tanh",
            input_dim=inputs,
            kernel_regularizer=fastnn.regularizers.L2(0.0),
            kernel_constraint=fastnn.constraints.MaxNorm(100.0),
        )
        made = Sequential([first, Dense(1)])
        made.compile(fastnn.optimizers.SGD(0.1), fastnn.losses.Huber(delta=1.0))
        return made

    def data(self):
        rng = np.random.default_rng(0)
        return rng.normal(size=(20, 3)), 5 * rng.normal(size=(20, 1))

    def fitted_twice(self, change):
        kept, fresh = self.model(), self.model()
        for model in (kept, fresh):
            model.fit(*self.data(), batch_size=20, shuffle=False, verbose=0)
        change(kept)
        change(fresh)
        fresh._compiled._renew()  # forgets its trainer
        for model in (kept, fresh):
            model.fit(*self.data(), batch_size=20, shuffle=False, verbose=0)
        for a, b in zip(kept.get_weights(), fresh.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        return kept.get_weights()

    def test_nothing(self):
        self.fitted_twice(lambda model: None)

    @pytest.mark.parametrize(
        "change",
        [
            lambda model: setattr(model.loss, "delta", 0.01),
            lambda model: setattr(model.layers[0], "trainable", False),
            lambda model: setattr(model.layers[0].kernel_regularizer, "l2", 3.0),
        ],
        ids=["option of the loss", "layer no longer trained", "factor of a regularizer"],
    )
    def test_a_change(self, change):
        changed = self.fitted_twice(change)
        usual = self.fitted_twice(lambda model: None)
        assert not np.array_equal(changed[0], usual[0])

    def test_the_bounds_of_a_constraint(self):
        def change(model):
            model.layers[0].kernel_constraint.max_value = 0.01

        changed = self.fitted_twice(change)
        assert np.linalg.norm(changed[0], axis=0).max() < 0.011

    def test_the_threshold_of_a_metric(self):
        model = self.model()
        model.compile("sgd", "mse", metrics=[fastnn.metrics.BinaryAccuracy(threshold=-1e9)])
        x, y = self.data()
        model.fit(x, y > 0, verbose=0)
        model.metrics[0].threshold = 1e9
        history = model.fit(x, y > 0, verbose=0).history
        assert history["binary_accuracy"][0] == np.mean(y <= 0)

    def test_slots_that_the_optimizer_needs_by_now(self):
        model = self.model()
        model.fit(*self.data(), verbose=0)
        before = model.get_weights()
        model.optimizer.momentum = 0.9
        with pytest.raises(ValueError, match=r"needs 1 numbers .* kept 0: compile the model again"):
            model.fit(*self.data(), verbose=0)
        for a, b in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(a, b)

    def fitted(self, units):
        model = self.model(units, inputs=100)
        self.fit(model)
        return model

    def fit(self, model):
        x = np.ones((512, 100))
        model.fit(x, x[:, :1], batch_size=512, verbose=0)

    def test_of_larger_ones_the_last(self, monkeypatch):
        monkeypatch.setattr("fastnn._training.LARGE_KEPT_BYTES", 1 << 23)
        small = self.fitted(20)
        first, second = self.fitted(600), self.fitted(600)  # which take 3 MB
        assert first._compiled._kept is not None
        self.fit(first)
        third = self.fitted(600)
        kept = [model._compiled._kept is not None for model in (small, first, second, third)]
        assert kept == [True, True, False, True]

    def test_a_larger_one_that_is_gone_makes_room(self, monkeypatch):
        monkeypatch.setattr("fastnn._training.LARGE_KEPT_BYTES", 1 << 23)
        first, second = self.fitted(600), self.fitted(600)
        del first
        third = self.fitted(600)
        assert second._compiled._kept is not None
        assert third._compiled._kept is not None

    def test_a_larger_one_serves_the_same_model_again(self):
        model = self.fitted(600)
        kept = model._compiled._kept
        self.fit(model)
        assert model._compiled._kept is kept

    def test_not_the_largest(self, monkeypatch):
        monkeypatch.setattr("fastnn._training.LARGE_KEPT_BYTES", 1 << 23)
        assert self.fitted(600)._compiled._kept is not None
        assert self.fitted(2400)._compiled._kept is None

    def test_larger_and_smaller_batches(self):
        model = self.model()
        x, y = self.data()
        for size in (5, 20, 7):
            model.fit(x, y, batch_size=size, epochs=2, verbose=0)
        assert model.optimizer.iterations == 2 * (4 + 1 + 3)


# Epochs that nobody follows are run several at a time


class Follower(Callback):
    """Does nothing, but has to be called when an epoch ends."""

    def on_epoch_end(self, epoch, logs=None):
        pass


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("most", [1, 45, 140, 10_000])
def test_epochs_run_together_do_what_single_ones_do(engine, shuffle, most, monkeypatch):
    monkeypatch.setattr("fastnn._training.AHEAD", most)
    x, _ = data()
    models = []
    for callbacks in (None, [Follower()]):
        models.append(classifier(engine=engine))
        options = {"batch_size": 6, "verbose": 0, "shuffle": shuffle, "callbacks": callbacks}
        models[-1].fit(x, labels(x), epochs=11, initial_epoch=2, **options)
    together, single = models
    assert together.history.epoch == single.history.epoch == list(range(2, 11))
    assert together.history.history == single.history.history
    assert together.optimizer.iterations == 9 * 4
    for a, b in zip(together.get_weights(), single.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_epochs_run_together_when_the_budget_ends_at_each_step(engine, monkeypatch):
    x, _ = data()
    whole, stepwise = classifier(engine=engine), classifier(engine=engine)
    set_random_seed(1)
    whole.fit(x, labels(x), batch_size=6, epochs=5, verbose=0)
    monkeypatch.setattr("fastnn._training.BUDGET", 0.0)
    set_random_seed(1)
    stepwise.fit(x, labels(x), batch_size=6, epochs=5, verbose=0)
    assert whole.history.history == stepwise.history.history
    for a, b in zip(whole.get_weights(), stepwise.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Slows(fastnn.optimizers.Optimizer):
    """Takes smaller steps with time, of its own accord."""

    def update_step(self, gradient, variable, learning_rate):
        variable -= learning_rate * gradient
        self.learning_rate = 0.9 * self.learning_rate


class SlowsByEpoch(fastnn.schedules.LearningRateSchedule):
    """Looks at what the model has learned so far."""

    model = None

    def __call__(self, step):
        return 0.1 / (1 + len(self.model.history.epoch))


@pytest.mark.parametrize("make", [lambda: Slows(0.1), lambda: SGD(SlowsByEpoch())])
def test_rates_that_python_decides_on_are_asked_for_as_epochs_begin(make, monkeypatch):
    (x, y), models = data(), []
    for callbacks in (None, [Follower()]):
        set_random_seed(0)
        models.append(linear_model(make()))
        monkeypatch.setattr(SlowsByEpoch, "model", models[-1])
        models[-1].fit(x, y, batch_size=5, epochs=6, verbose=0, callbacks=callbacks)
    together, single = models
    assert together.history.history == single.history.history


def test_a_subclass_of_history_hears_of_each_epoch_at_once():
    class WeightHistory(fastnn.callbacks.History):
        def on_epoch_end(self, epoch, logs=None):
            super().on_epoch_end(epoch, logs)
            self.history.setdefault("weights", []).append(self.model.get_weights()[0].item(0))

    model, (x, y), recorder = linear_model(), data(), WeightHistory()
    model.fit(x, y, epochs=5, verbose=0, callbacks=[recorder])
    assert len(set(recorder.history["weights"])) == 5


def test_a_fit_that_another_thread_stops_reports_what_it_saw():
    model, (x, y) = linear_model(SGD(1e-6)), data(n=200)
    timer = threading.Timer(0.2, lambda: setattr(model, "stop_training", True))
    timer.start()
    history = model.fit(x, y, batch_size=8, epochs=10_000_000, verbose=0)
    ended, rest = divmod(model.optimizer.iterations, 25)
    assert 0 < len(history.epoch) == ended + (rest > 0)
    assert all(np.isfinite(history.history["loss"]))


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_an_error_among_epochs_run_together_leaves_the_finished_ones(engine):
    class Fails(fastnn.regularizers.Regularizer):
        calls = 0

        def __call__(self, w):
            self.calls += 1
            if self.calls > 30:
                raise ArithmeticError("no penalty today")
            return 0.0

        def gradient(self, w):
            return np.zeros_like(w)

    model, (x, y) = linear_model(kernel_regularizer=Fails()), data()
    model = Sequential(model.layers, dtype="float64", engine=engine)
    model.compile(SGD(0.1), "mse")
    with pytest.raises(ArithmeticError, match="no penalty today"):
        model.fit(x, y, batch_size=4, epochs=100, verbose=0)
    assert model.history.epoch == list(range(model.optimizer.iterations // 5))
    assert len(model.history.epoch) > 1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint64])
def test_numbers_of_numpy_count_like_those_of_python(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 3)), rng.normal(size=(300, 1))
    results = []
    for number in (int, dtype):
        fastnn.utils.set_random_seed(2)
        model = Sequential([Dense(4, "tanh", input_dim=3), Dense(1)])
        model.compile("sgd", "mse")
        model.fit(x, y, batch_size=number(100), epochs=number(2), verbose=0)
        score = np.array(model.evaluate(x, y, batch_size=number(90), verbose=0))
        results.append([*model.get_weights(), score, model.predict(x, batch_size=number(100))])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_class_weights_of_labels_that_are_not_whole():
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.where(x[:, 0] > 0, 0.95, 0.05)
    model = Sequential([Dense(1, "sigmoid", input_dim=3)])
    model.compile(fastnn.optimizers.SGD(0.0), "binary_crossentropy")
    by_class = model.fit(x, y, class_weight={0: 1.0, 1: 100.0}, verbose=0).history["loss"]
    weight = np.where(y > 0.5, 100.0, 1.0)
    assert by_class == model.fit(x, y, sample_weight=weight, verbose=0).history["loss"]


class TestSharing:
    """An optimizer or a metric may be at work in two places at once."""

    def model(self, optimizer, metrics=()):
        fastnn.utils.set_random_seed(2)
        made = Sequential([Dense(4, "tanh", input_dim=3), Dense(1, "sigmoid")])
        made.compile(optimizer, "binary_crossentropy", metrics=list(metrics))
        return made

    def data(self):
        x = np.random.default_rng(0).normal(size=(90, 3))
        return x, (x[:, :1] > 0.3) * 1.0

    def test_an_optimizer_counts_the_steps_of_each_model(self):
        shared = fastnn.optimizers.Adam(0.05, use_ema=True)
        inner, outer = self.model(shared), self.model(shared)

        class FitsAnother(fastnn.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                inner.fit(*TestSharing.data(self), epochs=2, shuffle=False, verbose=0)

        alone = self.model(fastnn.optimizers.Adam(0.05, use_ema=True))
        options = {"epochs": 3, "shuffle": False, "verbose": 0}
        outer.fit(*self.data(), callbacks=[FitsAnother()], **options)
        alone.fit(*self.data(), **options)
        for a, b in zip(outer.get_weights(), alone.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_metrics_of_a_fit_are_not_those_of_an_evaluation_within(self):
        x, y = self.data()
        model = self.model(fastnn.optimizers.SGD(0.0), ["auc", "accuracy"])
        scores = []

        class Evaluates(fastnn.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                scores.append(self.model.evaluate(x[:20], y[:20], verbose=0))

        history = model.fit(x, y, callbacks=[Evaluates()], verbose=0).history
        _, auc, accuracy = model.evaluate(x, y, verbose=0)
        assert (history["auc"], history["accuracy"]) == ([auc], [accuracy])
        assert scores == [model.evaluate(x[:20], y[:20], verbose=0)] * 3
