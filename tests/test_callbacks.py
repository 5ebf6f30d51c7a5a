"""Callbacks on a small model that only counts."""

from __future__ import annotations

import csv
import math
import types

import numpy as np
import pytest

from fastnn import Sequential, callbacks, metrics
from fastnn.callbacks import (
    Callback,
    CallbackList,
    CSVLogger,
    EarlyStopping,
    History,
    LambdaCallback,
    LearningRateScheduler,
    ProgressBar,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from fastnn.layers import Dense
from fastnn.optimizers import SGD
from fastnn.schedules import ExponentialDecay

HOOKS = sorted(name for name in vars(Callback) if name.startswith("on_"))


class Model:
    """Its weight is the number of the epoch that it has finished."""

    def __init__(self, learning_rate=1.0):
        self.stop_training = False
        self.optimizer = SGD(learning_rate)
        self.metrics = [metrics.get("mae"), metrics.get("auc"), metrics.get(max)]
        self.weight = -1

    def get_weights(self):
        return [self.weight]

    def set_weights(self, weights):
        (self.weight,) = weights


def fit(model, epochs, *given, steps=4, **params):
    """Run the hooks as a fit would whose epochs have these logs; return the history."""
    history = History()
    heard = CallbackList(given, history, model=model, epochs=len(epochs), **params)
    model.stop_training = False
    heard.on_train_begin()
    logs = {}
    for epoch, logs in enumerate(dict(values) for values in epochs):
        heard.on_epoch_begin(epoch)
        heard.on_progress(steps, steps, {"loss": logs.get("loss", 0.0)})
        model.weight = epoch
        heard.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    heard.on_train_end(logs)
    return history


def losses(*values, name="val_loss"):
    return [{name: value} for value in values]


def leading_arguments(hook):
    """Return how many arguments a hook takes before the logs."""
    return getattr(Callback, hook).__code__.co_argcount - 2


class TestCallbackList:
    def test_calls_all_hooks_of_all_in_order(self):
        calls = []

        def recorder(label):
            class Recorder(Callback):
                pass

            for hook in HOOKS:
                setattr(
                    Recorder,
                    hook,
                    lambda self, *arguments, hook=hook: calls.append((label, hook, *arguments)),
                )
            return Recorder()

        heard = CallbackList([recorder("a"), recorder("b")])
        for hook in HOOKS:
            if hook in ("on_batch_begin", "on_batch_end"):
                continue  # other names, called by on_train_batch_begin and on_train_batch_end
            calls.clear()
            leading = tuple(range(leading_arguments(hook)))
            getattr(heard, hook)(*leading, {"loss": 1.0})
            assert calls == [(label, hook, *leading, {"loss": 1.0}) for label in "ab"]

    def test_hands_out_model_and_params(self):
        model, callback = Model(), Callback()
        heard = CallbackList([callback], model=model, verbose=0, epochs=3)
        assert callback.model is heard.model is model
        assert callback.params == {"verbose": 0, "epochs": 3}

    def test_logs_are_shared(self):
        writer = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(extra=epoch))
        history = fit(Model(), losses(1.0, 2.0), writer)
        assert history.history == {"val_loss": [1.0, 2.0], "extra": [0, 1]}

    def test_takes_a_single_callback(self):
        callback = Callback()
        assert CallbackList(callback).callbacks == [callback]

    @pytest.mark.parametrize("wrong", [[EarlyStopping], ["history"], [None], [print]])
    def test_refuses_other_objects(self, wrong):
        with pytest.raises(TypeError, match="callbacks must be Callback objects, got"):
            CallbackList(wrong)

    @pytest.mark.parametrize("verbose", [3, -1, "yes", None])
    def test_refuses_other_verbosity(self, verbose):
        with pytest.raises(ValueError, match="verbose must be"):
            CallbackList(verbose=verbose)

    def test_adds_a_bar_only_where_wanted(self):
        assert not CallbackList().callbacks
        assert not CallbackList(verbose=0).callbacks
        (bar,) = CallbackList(verbose="auto").callbacks
        assert isinstance(bar, ProgressBar)
        assert CallbackList([bar], verbose=1).callbacks == [bar]

    @pytest.mark.parametrize(
        ("hook", "kind"),
        [
            ("on_train_batch_begin", "train_batches"),
            ("on_train_batch_end", "train_batches"),
            ("on_batch_begin", "train_batches"),
            ("on_batch_end", "train_batches"),
            ("on_test_batch_begin", "test_batches"),
            ("on_test_batch_end", "test_batches"),
            ("on_predict_batch_begin", "predict_batches"),
            ("on_predict_batch_end", "predict_batches"),
        ],
    )
    def test_says_whether_batches_are_asked_for(self, hook, kind):
        overriding = type("Overriding", (Callback,), {hook: lambda self, batch, logs: None})()
        for callback in (overriding, LambdaCallback(**{hook: lambda batch, logs: None})):
            heard = CallbackList([Callback(), callback])
            kinds = ("train_batches", "test_batches", "predict_batches")
            assert [name for name in kinds if getattr(heard, name)] == [kind]

    def test_own_callbacks_ask_for_no_batches(self):
        own = [
            History(),
            ProgressBar(),
            EarlyStopping(),
            ReduceLROnPlateau(),
            LearningRateScheduler(lambda epoch, rate: rate),
            CSVLogger("unused.csv"),
            TerminateOnNaN(),
            LambdaCallback(on_epoch_end=print),
        ]
        heard = CallbackList(own)
        assert not heard.train_batches
        assert not heard.test_batches
        assert not heard.predict_batches


def test_old_names_of_batch_hooks_are_called():
    calls = []

    class Old(Callback):
        def on_batch_begin(self, batch, logs=None):
            calls.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            calls.append(("end", batch, logs))

    heard = CallbackList([Old()])
    heard.on_train_batch_begin(3)
    heard.on_train_batch_end(3, {"loss": 1.0})
    assert calls == [("begin", 3), ("end", 3, {"loss": 1.0})]


def test_base_hooks_do_nothing():
    callback = Callback()
    before = dict(vars(callback))
    for hook in HOOKS:
        assert getattr(callback, hook)(*range(leading_arguments(hook))) is None
    assert vars(callback) == before


def test_history_keeps_every_epoch():
    history = fit(Model(), [{"loss": 2.0, "acc": 0.5}, {"loss": 1.0, "acc": 0.75}])
    assert history.history == {"loss": [2.0, 1.0], "acc": [0.5, 0.75]}
    assert history.epoch == [0, 1]
    assert repr(history) == "<History of 2 epochs: loss, acc>"


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("arguments", "values", "epochs"),
        [
            ({}, [3, 2, 1, 1, 0], 4),
            ({"patience": 1}, [3, 2, 1, 1, 0], 4),
            ({"patience": 2}, [3, 2, 1, 1, 0], 5),
            ({"patience": 2}, [3, 4, 5, 1, 0], 3),
            ({"min_delta": 0.5}, [3, 2.6, 1, 0], 2),
            ({"min_delta": -0.5}, [3, 2.6, 1, 0], 2),
            ({"min_delta": 0.5}, [3, 2.4, 1.8, 1.2], 4),
            ({"mode": "max"}, [1, 2, 3, 2, 5], 4),
            ({"baseline": 2.5, "patience": 2}, [9, 9, 9, 1], 2),
            ({"baseline": 2.5, "patience": 2}, [9, 2, 3, 3, 1], 4),
            ({"start_from_epoch": 3}, [1, 2, 3, 4, 5, 6], 5),
            ({}, [math.nan, math.nan, 1], 2),
        ],
    )
    def test_number_of_epochs(self, arguments, values, epochs):
        history = fit(Model(), losses(*values), EarlyStopping(**arguments))
        assert len(history.epoch) == epochs

    def test_remembers_where(self):
        stopping = EarlyStopping(patience=2)
        fit(Model(), losses(3, 1, 2, 2, 0), stopping)
        assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (1, 1, 3)

    def test_restores_the_best_weights(self, capsys):
        model = Model()
        stopping = EarlyStopping(patience=2, restore_best_weights=True, verbose=1)
        fit(model, losses(3, 1, 2, 2, 0), stopping)
        assert model.weight == 1
        assert capsys.readouterr().out.splitlines() == [
            "Epoch 4: early stopping",
            "Restoring the weights of the best epoch: 2.",
        ]

    def test_restores_them_also_at_the_regular_end(self):
        model = Model()
        fit(model, losses(3, 1, 2), EarlyStopping(patience=9, restore_best_weights=True))
        assert model.weight == 1

    def test_restores_even_if_nothing_beats_the_baseline(self):
        model = Model()
        stopping = EarlyStopping(baseline=0.5, patience=3, restore_best_weights=True)
        fit(model, losses(3, 1, 2, 4), stopping)
        assert model.weight == 1

    def test_leaves_weights_alone_otherwise(self):
        model = Model()
        fit(model, losses(3, 1, 2, 2, 0), EarlyStopping(patience=2))
        assert model.weight == 3

    def test_can_be_used_again(self):
        stopping = EarlyStopping(patience=1, restore_best_weights=True)
        fit(Model(), losses(1, 2), stopping)
        model = Model()
        assert len(fit(model, losses(9, 8, 7, 8, 1), stopping).epoch) == 4
        assert model.weight == 2

    @pytest.mark.parametrize(
        ("monitor", "values", "epochs"),
        [
            ("val_auc", [1, 2, 3, 2, 9], 4),
            ("auc", [1, 2, 3, 2, 9], 4),
            ("val_mae", [3, 2, 1, 2, 0], 4),
            ("loss", [3, 2, 1, 2, 0], 4),
        ],
    )
    def test_knows_the_direction_of_metrics(self, monitor, values, epochs):
        history = fit(Model(), losses(*values, name=monitor), EarlyStopping(monitor))
        assert len(history.epoch) == epochs

    @pytest.mark.parametrize("monitor", ["val_max", "unheard_of"])
    def test_asks_for_the_direction_of_others(self, monitor):
        with pytest.raises(ValueError, match=f"'{monitor}' should rise or fall"):
            fit(Model(), losses(1, name=monitor), EarlyStopping(monitor))

    def test_warns_if_the_value_is_missing(self):
        with pytest.warns(
            UserWarning, match="'val_loss', which is not in the logs; these are: 'x'"
        ):
            history = fit(Model(), [{"x": 1}], EarlyStopping())
        assert len(history.epoch) == 1

    @pytest.mark.parametrize("kind", [EarlyStopping, ReduceLROnPlateau])
    def test_watches_one_number_only(self, kind):
        one = [np.array([value]) for value in (1.0, 2.0)]
        assert fit(Model(), losses(*one), kind()).epoch[0] == 0
        with pytest.raises(ValueError, match=r"'val_loss' is an array of shape \(2,\): give"):
            fit(Model(), losses(np.array([1.0, 2.0])), kind())

    @pytest.mark.parametrize(
        "arguments",
        [{"mode": "up"}, {"patience": -1}, {"min_delta": math.nan}, {"baseline": math.inf}],
    )
    def test_wrong_arguments_are_refused(self, arguments):
        (name,) = arguments
        with pytest.raises(ValueError, match=name):
            EarlyStopping(**arguments)


class TestReduceLROnPlateau:
    @pytest.mark.parametrize(
        ("arguments", "values", "rates"),
        [
            ({"patience": 1}, [3, 3, 2, 2], [1, 1, 0.1, 0.1]),
            ({"patience": 2, "factor": 0.5}, [3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5]),
            ({"patience": 1, "min_delta": 0.5}, [3, 2.7, 2.4], [1, 1, 0.1]),
            ({"patience": 1, "mode": "max"}, [1, 2, 2, 3], [1, 1, 1, 0.1]),
            ({"patience": 1, "min_lr": 0.05}, [1, 1, 1, 1, 1], [1, 1, 0.1, 0.05, 0.05]),
            ({"patience": 1, "cooldown": 2}, [1, 1, 1, 1, 1], [1, 1, 0.1, 0.1, 0.01]),
        ],
    )
    def test_learning_rates(self, arguments, values, rates):
        history = fit(Model(), losses(*values), ReduceLROnPlateau(**arguments))
        assert history.history["learning_rate"] == pytest.approx(rates)

    def test_says_so(self, capsys):
        fit(Model(), losses(1, 1), ReduceLROnPlateau(patience=1, factor=0.5, verbose=1))
        out = capsys.readouterr().out
        assert out == "Epoch 2: ReduceLROnPlateau reducing learning rate to 0.5.\n"

    def test_can_be_used_again(self):
        reducing = ReduceLROnPlateau(patience=1)
        fit(Model(), losses(1, 1), reducing)
        history = fit(Model(), losses(9, 8, 7), reducing)
        assert history.history["learning_rate"] == [1, 1, 1]

    def test_schedule_cannot_be_reduced(self):
        model = Model(ExponentialDecay(0.1, 10, 0.5))
        with pytest.raises(TypeError, match="follows a schedule"):
            fit(model, losses(1, 1), ReduceLROnPlateau(patience=1))

    def test_warns_if_the_value_is_missing(self):
        with pytest.warns(UserWarning, match="ReduceLROnPlateau watches 'val_loss'"):
            history = fit(Model(), [{"loss": 1}], ReduceLROnPlateau())
        assert history.history["learning_rate"] == [1.0]

    @pytest.mark.parametrize(
        "arguments", [{"factor": 1.0}, {"factor": 0.0}, {"cooldown": -1}, {"min_lr": -1.0}]
    )
    def test_wrong_arguments_are_refused(self, arguments):
        (name,) = arguments
        with pytest.raises(ValueError, match=name):
            ReduceLROnPlateau(**arguments)


class TestLearningRateScheduler:
    def test_sets_and_records_the_rate(self, capsys):
        scheduler = LearningRateScheduler(lambda epoch, rate: rate / 2, verbose=1)
        model = Model()
        history = fit(model, losses(1, 1, 1), scheduler)
        assert history.history["learning_rate"] == [0.5, 0.25, 0.125]
        assert model.optimizer.learning_rate == 0.125
        assert "Epoch 3: LearningRateScheduler setting learning rate to 0.125." in (
            capsys.readouterr().out
        )

    def test_takes_a_function_of_the_epoch_alone(self):
        history = fit(Model(), losses(1, 1), LearningRateScheduler(lambda epoch: 0.5**epoch))
        assert history.history["learning_rate"] == [1.0, 0.5]

    def test_error_within_the_function_shows(self):
        def schedule(epoch, rate):
            return rate + "1"

        with pytest.raises(TypeError, match="unsupported operand"):
            fit(Model(), losses(1), LearningRateScheduler(schedule))

    @pytest.mark.parametrize(("result", "error"), [(None, TypeError), (-1.0, ValueError)])
    def test_wrong_rate_is_refused(self, result, error):
        with pytest.raises(error, match="the result of schedule"):
            fit(Model(), losses(1), LearningRateScheduler(lambda epoch, rate: result))

    def test_needs_a_function(self):
        with pytest.raises(TypeError, match="schedule must be a function"):
            LearningRateScheduler(0.1)


class TestCSVLogger:
    def read(self, path, delimiter=","):
        with path.open(newline="") as file:
            return list(csv.reader(file, delimiter=delimiter))

    def test_writes_a_row_for_each_epoch(self, tmp_path):
        path = tmp_path / "log.csv"
        fit(Model(), [{"loss": 2.0, "acc": 0.5}, {"loss": 1.0, "acc": 0.75}], CSVLogger(path))
        assert self.read(path) == [
            ["epoch", "acc", "loss"],
            ["0", "0.5", "2.0"],
            ["1", "0.75", "1.0"],
        ]

    def test_several_results_are_a_list(self, tmp_path):
        path = tmp_path / "log.csv"
        fit(Model(), [{"f1_score": np.array([0.5, 1.0]), "m": np.eye(2)}], CSVLogger(path))
        assert self.read(path)[1] == ["0", "[0.5, 1.0]", "[[1.0, 0.0], [0.0, 1.0]]"]

    def test_is_whole_after_each_epoch(self, tmp_path):
        path = tmp_path / "log.csv"
        lengths = []
        reader = LambdaCallback(
            on_epoch_end=lambda epoch, logs: lengths.append(len(self.read(path)))
        )
        fit(Model(), losses(1, 2, 3), CSVLogger(path), reader)
        assert lengths == [2, 3, 4]

    def test_missing_values_are_marked(self, tmp_path):
        path = tmp_path / "log.csv"
        fit(Model(), [{"a": 1, "b": 2}, {"b": 3, "c": 4}], CSVLogger(path))
        assert self.read(path)[1:] == [["0", "1", "2"], ["1", "NA", "3"]]

    def test_overwrites_or_appends(self, tmp_path):
        path = tmp_path / "log.csv"
        fit(Model(), losses(9.0), CSVLogger(path))
        fit(Model(), losses(1.0), CSVLogger(path))
        fit(Model(), losses(2.0), CSVLogger(path, append=True))
        assert self.read(path) == [["epoch", "val_loss"], ["0", "1.0"], ["0", "2.0"]]

    def test_appends_to_the_columns_that_are_there(self, tmp_path):
        path = tmp_path / "log.csv"
        path.write_text("epoch;b;a\n")
        fit(Model(), [{"a": 1, "b": 2}], CSVLogger(str(path), separator=";", append=True))
        assert self.read(path, ";") == [["epoch", "b", "a"], ["0", "2", "1"]]

    @pytest.mark.parametrize("content", [None, ""])
    def test_appends_to_nothing(self, tmp_path, content):
        path = tmp_path / "log.csv"
        if content is not None:
            path.write_text(content)
        fit(Model(), losses(1.0), CSVLogger(path, append=True))
        assert self.read(path) == [["epoch", "val_loss"], ["0", "1.0"]]


class TestLambdaCallback:
    def test_calls_functions(self):
        calls = []
        callback = LambdaCallback(
            on_epoch_begin=lambda epoch, logs: calls.append(epoch),
            on_train_end=lambda logs: calls.append(logs),
            on_epoch_end=None,
        )
        fit(Model(), losses(1.0, 2.0), callback)
        assert calls == [0, 1, {"val_loss": 2.0}]

    @pytest.mark.parametrize(
        "hooks", [{"on_epoch": print}, {"set_model": print}, {"on_epoch_end": 3}]
    )
    def test_refuses_what_is_no_hook(self, hooks):
        (name,) = hooks
        with pytest.raises(TypeError, match=name):
            LambdaCallback(**hooks)


class TestTerminateOnNaN:
    @pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
    def test_stops(self, loss, capsys):
        model = Model()
        history = fit(model, losses(1.0, loss, 1.0, name="loss"), TerminateOnNaN())
        assert len(history.epoch) == 2
        assert model.stop_training
        assert capsys.readouterr().out == f"Step 4 of 4: the loss is {loss}, terminating training\n"

    def test_looks_at_the_end_of_an_epoch_too(self, capsys):
        callback = TerminateOnNaN()
        callback.set_model(Model())
        callback.on_epoch_end(0, {"loss": math.nan})
        assert callback.model.stop_training
        assert capsys.readouterr().out.startswith("Epoch 1: the loss is nan")

    def test_lets_finite_losses_and_other_values_pass(self):
        model = Model()
        fit(model, [{"loss": 1e300, "val_loss": math.nan}, {}], TerminateOnNaN())
        assert not model.stop_training


class TestProgressBar:
    @pytest.fixture(autouse=True)
    def clock(self, monkeypatch):
        """Time that only the test lets pass."""
        clock = types.SimpleNamespace(now=100.0)
        monkeypatch.setattr(callbacks, "perf_counter", lambda: clock.now)
        return clock

    @pytest.fixture
    def terminal(self, monkeypatch):
        monkeypatch.setattr(callbacks, "_is_interactive", lambda: True)

    def begin(self, **params):
        heard = CallbackList(model=Model(), **params)
        heard.on_train_begin()
        heard.on_epoch_begin(0)
        return heard

    def test_silent_without_verbosity(self, capsys):
        fit(Model(), losses(1.0, 2.0), verbose=0)
        assert capsys.readouterr().out == ""

    @pytest.mark.parametrize("verbose", ["auto", 1, 2])
    def test_line_for_each_epoch_outside_a_terminal(self, verbose, clock, capsys):
        heard = self.begin(verbose=verbose, epochs=2)
        for step in (4, 8):
            clock.now += 1.0
            heard.on_progress(step, 8, {"loss": 3.0})
        heard.on_epoch_end(0, {"loss": 2.0, "accuracy": 0.5, "val_loss": 2e-5})
        assert capsys.readouterr().out.splitlines() == [
            "Epoch 1/2",
            "8/8 - 2s 250ms/step - loss: 2.0000 - accuracy: 0.5000 - val_loss: 2.0000e-05",
        ]

    def test_several_results_are_shown_by_their_mean_and_matrices_not_at_all(self, capsys):
        logs = {"loss": 2.0, "f1_score": np.array([0.5, 1.0]), "confusion_matrix": np.eye(2)}
        fit(Model(), [logs], verbose=2)
        assert capsys.readouterr().out == "4/4 - 0s 0us/step - loss: 2.0000 - f1_score: 0.7500\n"

    def test_line_has_no_title_if_there_is_one_epoch(self, capsys):
        fit(Model(), losses(1.0), verbose=2)
        assert capsys.readouterr().out == "4/4 - 0s 0us/step - val_loss: 1.0000\n"

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(2.5, "2s/step"), (0.0125, "12ms/step"), (25e-6, "25us/step")],
    )
    def test_time_per_step_is_that_of_training(self, seconds, text, clock, capsys):
        heard = self.begin(verbose=2, epochs=1)
        clock.now += 10 * seconds
        heard.on_progress(10, 10, {})
        clock.now += 500.0
        heard.on_epoch_end(0, {})
        assert text in capsys.readouterr().out

    def test_epoch_that_was_ended_early_shows_its_steps(self, capsys):
        heard = self.begin(verbose=2, epochs=1)
        heard.on_progress(3, 10, {})
        heard.on_epoch_end(0, {})
        assert capsys.readouterr().out.startswith("3/10 - ")

    def test_bar_is_redrawn_in_a_terminal(self, terminal, clock, capsys):
        heard = self.begin(verbose=1, epochs=1)
        for step in range(1, 11):
            clock.now += 0.06
            heard.on_progress(step, 10, {"loss": float(step)})
        heard.on_epoch_end(0, {"loss": 5.5})
        drawn = [text.strip() for text in capsys.readouterr().out.split("\r")]
        shown = dict.fromkeys(text.split(" ")[0] for text in drawn if text)
        assert list(shown) == ["2/10", "4/10", "6/10", "8/10", "10/10"]
        assert drawn[-1].endswith("1s 60ms/step - loss: 5.5000")

    def test_short_epoch_is_drawn_once_it_is_over(self, terminal, clock, capsys):
        heard = self.begin(verbose=1, epochs=1)
        clock.now += 0.01
        heard.on_progress(10, 10, {"loss": 1.0})
        assert capsys.readouterr().out == ""
        heard.on_epoch_end(0, {"loss": 1.0})
        out = capsys.readouterr().out
        assert "10/10" in out
        assert out.endswith("0s 1ms/step - loss: 1.0000\n")

    def test_validation_within_a_fit_is_silent(self, capsys):
        heard = self.begin(verbose=2, epochs=1)
        heard.on_test_begin()
        heard.on_test_end({"loss": 1.0})
        assert capsys.readouterr().out == ""

    def test_evaluation_is_a_line(self, clock, capsys):
        heard = CallbackList(verbose=1, steps=4)
        heard.on_test_begin()
        clock.now += 0.1
        heard.on_test_end({"loss": 1.0})
        assert capsys.readouterr().out == "4/4 - 0s 25ms/step - loss: 1.0000\n"

    def test_evaluation_of_unknown_length_is_a_line_too(self, capsys):
        heard = CallbackList(verbose=1)
        heard.on_test_begin()
        heard.on_test_end({"loss": 1.0})
        assert capsys.readouterr().out == "0s - loss: 1.0000\n"

    @pytest.mark.parametrize(("verbose", "shown"), [("auto", ""), (1, "4/4 - 0s 0us/step\n")])
    def test_prediction_shows_only_on_request(self, verbose, shown, capsys):
        heard = CallbackList(verbose=verbose, steps=4)
        heard.on_predict_begin()
        heard.on_predict_end()
        assert capsys.readouterr().out == shown


def test_schedules_without_a_signature_are_called_with_the_epoch():
    rates = []

    class Follow(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            rates.append(self.model.optimizer.learning_rate)

    model = Sequential([Dense(1, input_dim=2)])
    model.compile("sgd", "mse")
    scheduler = callbacks.LearningRateScheduler([0.1, 0.05].__getitem__)
    model.fit(np.ones((4, 2)), np.ones(4), epochs=2, callbacks=[scheduler, Follow()], verbose=0)
    assert rates == [0.1, 0.05]
