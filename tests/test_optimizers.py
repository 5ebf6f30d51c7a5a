"""Optimizers as declarations: arguments, slots, learning rates and what the engines are given."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

from fastnn import kernels, optimizers, schedules
from fastnn.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from fastnn.program import Layout, OptimizerState, Parameter

ALL = [SGD, RMSprop, Adagrad, Adam, AdamW]
each = pytest.mark.parametrize("cls", ALL, ids=lambda cls: cls.__name__)


class Halving(schedules.LearningRateSchedule):
    def __call__(self, step):
        return 0.5**step


@pytest.mark.parametrize(
    ("cls", "defaults"),
    [
        (SGD, {"learning_rate": 0.01, "momentum": 0.0, "nesterov": False, "name": "SGD"}),
        (RMSprop, {"learning_rate": 0.001, "rho": 0.9, "momentum": 0.0, "epsilon": 1e-7}),
        (Adagrad, {"learning_rate": 0.001, "initial_accumulator_value": 0.1, "epsilon": 1e-7}),
        (Adam, {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
        (AdamW, {"learning_rate": 0.001, "weight_decay": 0.004, "name": "adamw"}),
    ],
)
def test_defaults_are_those_of_keras(cls, defaults):
    config = cls().get_config()
    assert {name: config[name] for name in defaults} == defaults


@each
class TestEveryOptimizer:
    def test_rule_names_a_kernel_and_its_arguments(self, cls):
        rule = cls().rule()
        keywords = inspect.signature(getattr(kernels, rule.kernel)).parameters
        assert set(rule.hyperparameters) <= set(keywords)
        assert {"learning_rate", "weight_decay"} <= set(rule.hyperparameters)

    def test_rule_runs_a_step_of_its_kernel(self, cls):
        optimizer = cls(0.1)
        rule = optimizer.rule()
        row = optimizer.hyperparameters(0, 1)[0]
        parameter, gradient = np.array([1.0, -1.0]), np.array([1.0, -1.0])
        slots = [np.full(2, value) for value in optimizer.slot_values]
        step = getattr(kernels, rule.kernel)
        arguments = dict(zip(rule.hyperparameters, row.tolist(), strict=True))
        if "step" in arguments:
            arguments["step"] = int(arguments["step"])
        if "nesterov" in arguments:
            arguments["nesterov"] = bool(arguments["nesterov"])
        step(parameter, gradient, *slots, **arguments)
        assert np.all(np.abs(parameter) < 1.0)

    def test_bounds_on_gradients_are_handed_on(self, cls):
        for bound in ("clipnorm", "clipvalue", "global_clipnorm"):
            rule = cls(**{bound: 2.0}).rule()
            assert getattr(rule, bound) == 2.0
            others = {"clipnorm", "clipvalue", "global_clipnorm"} - {bound}
            assert all(getattr(rule, other) is None for other in others)

    def test_only_one_bound_may_be_given(self, cls):
        with pytest.raises(ValueError, match="only one of clipnorm"):
            cls(clipnorm=1.0, global_clipnorm=1.0)

    @pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
    @pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
    def test_numbers_out_of_range_are_refused(self, cls, name, value):
        with pytest.raises(ValueError, match=name):
            cls(**{name: value})

    @pytest.mark.parametrize("bound", ["clipnorm", "clipvalue", "global_clipnorm"])
    @pytest.mark.parametrize("value", [-1.0, 0.0, math.nan])
    def test_bounds_must_be_positive(self, cls, bound, value):
        with pytest.raises(ValueError, match=bound):
            cls(**{bound: value})

    @pytest.mark.parametrize("value", ["0.1", None, True, [0.1]])
    def test_learning_rate_must_be_a_number(self, cls, value):
        with pytest.raises(TypeError, match="learning_rate"):
            cls(value)

    def test_plain_function_is_no_schedule(self, cls):
        with pytest.raises(TypeError, match="LearningRateSchedule"):
            cls(lambda step: 0.1)

    def test_hyperparameters_have_a_row_for_each_step(self, cls):
        optimizer = cls(Halving(), weight_decay=0.25)
        table = optimizer.hyperparameters(iteration=2, steps=3)
        columns = dict(zip(optimizer.rule().hyperparameters, table.T, strict=True))
        assert table.shape == (3, len(columns))
        assert table.dtype == np.float64
        np.testing.assert_array_equal(columns["learning_rate"], [0.25, 0.125, 0.0625])
        np.testing.assert_array_equal(columns["weight_decay"], [0.25] * 3)
        if "step" in columns:
            np.testing.assert_array_equal(columns["step"], [3, 4, 5])

    def test_no_steps_need_no_rows(self, cls):
        assert cls().hyperparameters(0, 0).shape == (0, len(cls.arguments))
        assert cls(Halving()).hyperparameters(0, 0).shape == (0, len(cls.arguments))


@pytest.mark.parametrize(
    ("cls", "argument", "value"),
    [
        (SGD, "momentum", -0.1),
        (SGD, "momentum", 1.1),
        (RMSprop, "rho", 1.0),
        (RMSprop, "momentum", math.nan),
        (RMSprop, "epsilon", -1e-9),
        (Adagrad, "initial_accumulator_value", -0.1),
        (Adagrad, "epsilon", math.inf),
        (Adam, "beta_1", 1.0),
        (Adam, "beta_2", -0.1),
        (AdamW, "epsilon", math.nan),
    ],
)
def test_own_numbers_out_of_range_are_refused(cls, argument, value):
    with pytest.raises(ValueError, match=argument):
        cls(**{argument: value})


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        (SGD(), ()),
        (SGD(momentum=0.9), (0.0,)),
        (RMSprop(), (0.0,)),
        (RMSprop(momentum=0.9), (0.0, 0.0)),
        (Adagrad(initial_accumulator_value=0.5), (0.5,)),
        (Adam(), (0.0, 0.0)),
        (AdamW(), (0.0, 0.0)),
    ],
)
def test_slots(optimizer, slots):
    assert optimizer.slot_values == slots


class TestLearningRate:
    def test_number_can_be_set(self):
        optimizer = SGD(1)
        assert optimizer.learning_rate == 1.0
        optimizer.learning_rate = np.float32(0.5)
        assert optimizer.hyperparameters(0, 1)[0, 0] == 0.5

    @pytest.mark.parametrize("value", [-0.1, math.nan])
    def test_wrong_number_is_refused_and_changes_nothing(self, value):
        optimizer = SGD(0.5)
        with pytest.raises(ValueError, match="learning_rate"):
            optimizer.learning_rate = value
        assert optimizer.learning_rate == 0.5

    def test_schedule_is_asked_for_the_next_step(self):
        optimizer = SGD(Halving())
        assert optimizer.learning_rate == 1.0
        optimizer.state = OptimizerState(Layout([Parameter("w", (1,))], np.dtype("f4")), ())
        optimizer.state.iterations = 3
        assert optimizer.iterations == 3
        assert optimizer.learning_rate == 0.125

    def test_number_does_not_take_the_place_of_a_schedule(self):
        optimizer = SGD(Halving())
        with pytest.raises(TypeError, match="follows a schedule"):
            optimizer.learning_rate = 0.1
        optimizer.learning_rate = schedules.ExponentialDecay(0.3, 10, 0.5)
        assert optimizer.learning_rate == pytest.approx(0.3)

    @pytest.mark.parametrize("rate", [-1.0, math.nan])
    def test_wrong_rate_of_a_schedule_names_the_step(self, rate):
        class Failing(schedules.LearningRateSchedule):
            def __call__(self, step):
                return rate if step == 6 else 0.1

        with pytest.raises(ValueError, match=r"Failing\(\) at step 6"):
            SGD(Failing()).hyperparameters(5, 3)

    def test_schedule_is_part_of_the_config(self):
        optimizer = Adam(schedules.ExponentialDecay(0.1, 10, 0.5))
        config = optimizer.get_config()
        assert config["learning_rate"]["class_name"] == "ExponentialDecay"
        again = Adam.from_config(config)
        np.testing.assert_array_equal(again.hyperparameters(0, 9), optimizer.hyperparameters(0, 9))


def test_names_are_known_in_both_spellings():
    for name in ("sgd", "SGD", "adam", "Adam", "rmsprop", "RMSprop", "adagrad", "adamw", "AdamW"):
        assert type(optimizers.get(name)).__name__.lower() == name.lower()


def test_names_give_fresh_optimizers():
    assert optimizers.get("adam") is not optimizers.get("adam")
