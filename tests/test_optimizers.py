"""Optimizers as declarations: arguments, slots, learning rates and what the engines are given."""

from __future__ import annotations

import copy
import inspect
import math
import pickle

import numpy as np
import pytest
from numeric import numerical_gradient

from fastnn import Sequential, _extras, constraints, kernels, optimizers, schedules, utils
from fastnn._training import Compiled
from fastnn.callbacks import LambdaCallback
from fastnn.engines import ENGINES
from fastnn.layers import BatchNormalization, Dense, Dropout, GaussianNoise
from fastnn.optimizers import (
    LBFGS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lion,
    Nadam,
    Optimizer,
    RMSprop,
)
from fastnn.program import Layout, OptimizerState, Parameter

ALL = [SGD, RMSprop, Adagrad, Adam, AdamW, Adadelta, Adamax, Nadam, Ftrl, Lion]
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
        (RMSprop, {"centered": False, "name": "rmsprop", "weight_decay": None}),
        (Adam, {"amsgrad": False, "use_ema": False, "ema_momentum": 0.99}),
        (Adam, {"ema_overwrite_frequency": None, "gradient_accumulation_steps": None}),
        (Adadelta, {"learning_rate": 0.001, "rho": 0.95, "epsilon": 1e-7, "name": "adadelta"}),
        (Adamax, {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
        (Nadam, {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7}),
        (
            Ftrl,
            {
                "learning_rate": 0.001,
                "learning_rate_power": -0.5,
                "initial_accumulator_value": 0.1,
                "l1_regularization_strength": 0.0,
                "l2_regularization_strength": 0.0,
                "l2_shrinkage_regularization_strength": 0.0,
                "beta": 0.0,
            },
        ),
        (Lion, {"learning_rate": 0.001, "beta_1": 0.9, "beta_2": 0.99, "name": "lion"}),
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
        assert rule.hyperparameters == tuple(
            name for name, p in keywords.items() if p.kind is p.KEYWORD_ONLY
        )
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

    def test_averages_and_accumulation_are_handed_on(self, cls):
        rule = cls(
            use_ema=True,
            ema_momentum=0.5,
            ema_overwrite_frequency=3,
            gradient_accumulation_steps=4,
        ).rule()
        assert (rule.ema_momentum, rule.ema_overwrite_frequency, rule.accumulation) == (0.5, 3, 4)
        rule = cls(ema_momentum=0.5, ema_overwrite_frequency=3).rule()
        assert (rule.ema_momentum, rule.ema_overwrite_frequency) == (None, None)
        assert rule.accumulation == 1

    @pytest.mark.parametrize(
        ("name", "value", "error"),
        [
            ("ema_momentum", 1.1, ValueError),
            ("ema_momentum", math.nan, ValueError),
            ("ema_overwrite_frequency", 0, ValueError),
            ("ema_overwrite_frequency", 1.5, ValueError),
            ("gradient_accumulation_steps", 1, ValueError),
            ("gradient_accumulation_steps", "2", TypeError),
            ("gradient_accumulation_step", 2, TypeError),
        ],
    )
    def test_wrong_options_are_refused(self, cls, name, value, error):
        with pytest.raises(error, match=name):
            cls(**{name: value})

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

    def test_schedules_count_batches_and_corrections_count_steps(self, cls):
        optimizer = cls(Halving(), gradient_accumulation_steps=3)
        table = optimizer.hyperparameters(iteration=1, steps=4)
        columns = dict(zip(optimizer.rule().hyperparameters, table.T, strict=True))
        np.testing.assert_array_equal(columns["learning_rate"], [0.5, 0.25, 0.125, 0.0625])
        if "step" in columns:
            np.testing.assert_array_equal(columns["step"], [1, 1, 2, 2])

    def test_no_steps_need_no_rows(self, cls):
        assert cls().hyperparameters(0, 0).shape == (0, len(cls.arguments))
        assert cls(Halving()).hyperparameters(0, 0).shape == (0, len(cls.arguments))

    def test_a_config_of_keras_will_do(self, cls):
        config = cls(0.5).get_config()
        assert cls.from_config(config | {"loss_scale_factor": None}).get_config() == config
        with pytest.raises(TypeError, match="loss_scale_factor"):
            cls.from_config(config | {"loss_scale_factor": 2.0})

    def test_all_options_are_part_of_signature_and_config(self, cls):
        options = {
            "weight_decay": 0.5,
            "clipnorm": 2.0,
            "use_ema": True,
            "ema_momentum": 0.5,
            "ema_overwrite_frequency": 3,
            "gradient_accumulation_steps": 4,
            "name": "mine",
        }
        assert set(options) <= set(inspect.signature(cls).parameters)
        optimizer = cls(0.5, **options)
        again = cls.from_config(optimizer.get_config())
        assert again.get_config() == optimizer.get_config() == optimizer.get_config() | options


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
        (Adadelta, "rho", 1.0),
        (Adadelta, "epsilon", -1.0),
        (Adamax, "beta_1", 1.0),
        (Adamax, "beta_2", math.nan),
        (Nadam, "beta_2", 1.0),
        (Nadam, "epsilon", -1.0),
        (Ftrl, "learning_rate_power", 0.1),
        (Ftrl, "initial_accumulator_value", -0.1),
        (Ftrl, "l1_regularization_strength", -0.1),
        (Ftrl, "l2_regularization_strength", math.inf),
        (Ftrl, "l2_shrinkage_regularization_strength", -0.1),
        (Ftrl, "beta", -0.1),
        (Lion, "beta_1", 0.0),
        (Lion, "beta_2", 1.0),
        (LBFGS, "history_size", 0),
        (LBFGS, "tolerance_grad", -1.0),
        (LBFGS, "tolerance_change", math.nan),
        (LBFGS, "max_line_search", 0),
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
        (Adam(amsgrad=True), (0.0, 0.0, 0.0)),
        (RMSprop(centered=True), (0.0, 0.0, 0.0)),
        (Ftrl(initial_accumulator_value=0.5), (0.5, 0.0)),
        (Lion(), (0.0,)),
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
    for cls in [*ALL, LBFGS]:
        for name in (cls.__name__, cls.__name__.lower()):
            assert type(optimizers.get(name)) is cls


def test_names_give_fresh_optimizers():
    assert optimizers.get("adam") is not optimizers.get("adam")


def test_products_of_nadam_are_those_of_its_momenta():
    optimizer = Nadam(beta_1=0.999)
    column = optimizer.rule().hyperparameters.index("momentum_product")
    steps = np.arange(1, 3001)
    momenta = 0.999 * (1 - 0.5 * 0.96**steps)
    got = optimizer.hyperparameters(0, 3000)[:, column]
    np.testing.assert_allclose(got, np.cumprod(momenta), rtol=1e-12)


class TestOnArrays:
    @each
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_steps_are_those_of_the_kernel(self, cls, dtype):
        optimizer, alone = cls(0.1), cls(0.1)
        rng = np.random.default_rng(0)
        variables = [rng.normal(size=(3, 2)).astype(dtype), np.array(0.5, dtype)]
        expected = [array.copy() for array in variables]
        slots = [[np.full_like(a, value) for value in alone.slot_values] for a in variables]
        for step in range(3):
            gradients = [rng.normal(size=a.shape).astype(dtype) for a in variables]
            count = optimizer.apply_gradients(zip(gradients, variables, strict=True))
            assert count == optimizer.iterations == step + 1
            row = alone.hyperparameters(step, 1)[0].tolist()
            options = dict(zip(alone.rule().hyperparameters, row, strict=True))
            for array, gradient, kept in zip(expected, gradients, slots, strict=True):
                getattr(kernels, alone.kernel)(array, gradient, *kept, **options)
        for array, value in zip(variables, expected, strict=True):
            np.testing.assert_array_equal(array, value)

    def test_what_is_kept_belongs_to_the_array_itself(self):
        a, b = np.zeros(2), np.zeros(2)
        optimizer = SGD(1.0, momentum=0.5)
        optimizer.apply([[1.0, 0.0], [0.0, 1.0]], [a, b])
        optimizer.apply([[0.0, 0.0], [0.0, 0.0]], [b, a])
        np.testing.assert_array_equal([a, b], [[-1.5, 0.0], [0.0, -1.5]])
        optimizer.apply([[0.0, 0.0], [0.0, 0.0]])
        np.testing.assert_array_equal([a, b], [[-1.75, 0.0], [0.0, -1.75]])

    def test_other_arrays_are_refused(self):
        w = np.zeros(2)
        optimizer = SGD(1.0)
        optimizer.apply([np.ones(2)], [w])
        with pytest.raises(ValueError, match="knows by identity"):
            optimizer.apply([np.ones(2)], [w.copy()])
        with pytest.raises(ValueError, match="knows no variables"):
            SGD(1.0).apply([np.ones(2)])

    @pytest.mark.parametrize(
        ("gradient", "variable", "error"),
        [
            (np.ones(3), np.zeros(2), ValueError),
            (None, np.zeros(2), ValueError),
            ("ab", np.zeros(2), TypeError),
            (np.ones(2), [0.0, 0.0], TypeError),
            (np.ones(2), np.zeros(2, int), TypeError),
            (np.ones((2, 3)), np.zeros((3, 2)).T, ValueError),
            (np.ones(2), np.frombuffer(bytes(16)), ValueError),
        ],
    )
    def test_wrong_pairs_are_refused_and_nothing_changes(self, gradient, variable, error):
        w = np.zeros(2)
        optimizer = Adam(1.0)
        with pytest.raises(error, match=r"gradient 1|variable 1"):
            optimizer.apply_gradients([(np.ones(2), w), (gradient, variable)])
        np.testing.assert_array_equal(w, np.zeros(2))
        assert optimizer.iterations == 0
        optimizer.apply([np.ones(2)], [w])

    def test_numbers_of_gradients_and_variables_must_agree(self):
        with pytest.raises(ValueError, match="2 gradients for 1 variables"):
            SGD(1.0).apply([np.ones(2), np.ones(2)], [np.zeros(2)])
        w = np.zeros(2)
        with pytest.raises(ValueError, match="twice"):
            SGD(1.0).build([w, w])

    def test_iterators_will_do(self):
        w = np.zeros(2)
        optimizer = SGD(1.0)
        for _ in range(2):
            optimizer.apply(iter([np.ones(2)]), iter([w]))
        np.testing.assert_array_equal(w, [-2.0, -2.0])

    def test_no_gradients_no_step(self):
        optimizer = SGD(1.0)
        assert optimizer.apply_gradients([]) == 0

    def test_gradients_are_left_alone(self):
        gradient = np.full(2, 5.0)
        SGD(1.0, clipvalue=1.0).apply([gradient], [np.zeros(2)])
        np.testing.assert_array_equal(gradient, [5.0, 5.0])

    def test_learning_rate_can_be_set_in_between(self):
        w = np.zeros(1)
        optimizer = SGD(1.0)
        optimizer.apply([[1.0]], [w])
        optimizer.learning_rate = 0.25
        assert optimizer.learning_rate == 0.25
        optimizer.apply([[1.0]], [w])
        assert w[0] == -1.25

    def test_schedules_are_followed(self):
        w = np.zeros(1)
        optimizer = SGD(Halving())
        for _ in range(3):
            optimizer.apply([[1.0]], [w])
        assert w[0] == -1.75
        assert optimizer.learning_rate == 0.125

    def test_weights_of_a_model(self):
        model = Sequential([Dense(2, input_dim=3)], dtype="float64")
        x = np.ones((1, 3))
        before = model.get_weights()
        model.predict(x, verbose=0)
        optimizer = SGD(0.5)
        optimizer.apply([np.ones((3, 2)), np.ones(2)], model.trainable_weights)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old - 0.5)
        kernel, bias = model.get_weights()
        np.testing.assert_allclose(model.predict(x, verbose=0), x @ kernel + bias)

    def test_weights_of_a_model_are_held_to_their_constraints(self):
        model = Sequential([Dense(2, input_dim=3, kernel_constraint="non_neg")], dtype="float64")
        optimizer = SGD(5.0)
        kernel, bias = model.trainable_weights
        optimizer.apply([np.ones((3, 2)), np.ones(2)], [kernel, bias])
        np.testing.assert_array_equal(kernel.value, np.zeros((3, 2)))
        np.testing.assert_array_equal(bias.value, [-5.0, -5.0])

    def test_a_constraint_that_raises_changes_nothing(self):
        class Failing(constraints.Constraint):
            def __call__(self, w):
                raise RuntimeError("no more")

        model = Sequential([Dense(2, input_dim=3, bias_constraint=Failing())], dtype="float64")
        before = model.get_weights()
        optimizer = SGD(1.0, momentum=0.9)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="no more"):
                optimizer.apply([np.ones((3, 2)), np.ones(2)], model.trainable_weights)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)
        assert optimizer.iterations == 0

    @pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
    def test_a_copy_takes_its_arrays_along(self, make_copy):
        w = np.zeros(1)
        optimizer = SGD(1.0, momentum=0.5)
        optimizer.apply([[1.0]], [w])
        twin, v = make_copy((optimizer, w))
        for each_optimizer, array in ((optimizer, w), (twin, v)):
            each_optimizer.apply([[0.0]], [array])
            assert array[0] == -1.5
        assert v is not w

    def test_averages_come_at_the_end(self):
        w = np.zeros(1)
        optimizer = SGD(1.0, use_ema=True, ema_momentum=0.5)
        for _ in range(3):
            optimizer.apply([[1.0]], [w])
        assert w[0] == -3
        optimizer.finalize_variable_values([w])
        assert w[0] == 0.5 * (0.5 * -1 + 0.5 * -2) + 0.5 * -3


# One's own


class SignDescent(Optimizer):
    def __init__(self, learning_rate=0.1, decay=0.5, **options):
        super().__init__(learning_rate, **options)
        self.decay = decay

    @property
    def slot_values(self):
        return (0.0,)

    def update_step(self, gradient, variable, learning_rate, mean):
        mean *= self.decay
        mean += (1 - self.decay) * gradient
        variable -= learning_rate * np.sign(mean)


class TestOwnOptimizers:
    def test_options_come_with_it(self):
        optimizer = SignDescent(clipnorm=2.0, weight_decay=0.5)
        config = optimizer.get_config()
        assert (config["decay"], config["clipnorm"], config["name"]) == (0.5, 2.0, "SignDescent")
        assert SignDescent.from_config(config).get_config() == config
        assert repr(optimizer) == "SignDescent(weight_decay=0.5, clipnorm=2.0)"
        known = {"SignDescent": SignDescent}
        assert type(optimizers.deserialize(optimizers.serialize(optimizer), known)) is SignDescent

    @pytest.mark.parametrize("engine", ENGINES)
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_in_a_model_and_on_arrays_it_is_the_same(self, engine, dtype):
        """Lion with both beta alike is this very method."""
        results = []
        for optimizer in (SignDescent(0.01, 0.75), Lion(0.01, 0.75, 0.75)):
            utils.set_random_seed(1)
            layers = [Dense(4, "tanh", input_dim=3), Dense(1)]
            model = Sequential(layers, dtype=dtype, engine=engine)
            model.compile(optimizer, "mse")
            rng = np.random.default_rng(0)
            x, y = rng.normal(size=(20, 3)), rng.normal(size=20)
            model.fit(x, y, batch_size=8, epochs=3, verbose=0)
            assert model.optimizer.iterations == 9
            results.append(model.get_weights())
        for own, lion in zip(*results, strict=True):
            np.testing.assert_allclose(own, lion, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("engine", ENGINES)
    def test_an_error_ends_the_fit_at_the_last_finished_step(self, engine):
        class Failing(SignDescent):
            def update_step(self, gradient, variable, learning_rate, mean):
                super().update_step(gradient, variable, learning_rate, mean)
                if self.iterations == 3 and variable.ndim == 1:
                    raise RuntimeError("no more")

        utils.set_random_seed(1)
        model = Sequential([Dense(1, input_dim=3)], engine=engine, dtype="float64")
        model.compile(Failing(0.01), "mse")
        x, y = np.random.default_rng(0).normal(size=(20, 3)), np.ones(20)
        seen = []
        watch = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()))
        with pytest.raises(RuntimeError, match="no more"):
            model.fit(x, y, batch_size=20, epochs=9, verbose=0, callbacks=[watch])
        assert len(seen) == model.optimizer.iterations == 3
        for old, new in zip(seen[-1], model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_an_error_on_arrays_changes_nothing(self):
        class Failing(SignDescent):
            def update_step(self, gradient, variable, learning_rate, mean):
                super().update_step(gradient, variable, learning_rate, mean)
                if variable.ndim == 2:
                    raise RuntimeError("no more")

        variables = [np.ones(2), np.ones((1, 2))]
        optimizer = Failing(weight_decay=0.5)
        with pytest.raises(RuntimeError, match="no more"):
            optimizer.apply([np.ones(2), np.ones((1, 2))], variables)
        for variable in variables:
            np.testing.assert_array_equal(variable, np.ones_like(variable))
        assert optimizer.iterations == 0

    @pytest.mark.parametrize("engine", ENGINES)
    def test_what_update_step_returns_would_be_lost(self, engine):
        class Returning(Optimizer):
            def update_step(self, gradient, variable, learning_rate):
                return variable - learning_rate * gradient

        model = Sequential([Dense(1, input_dim=3)], engine=engine)
        model.compile(Returning(0.1), "mse")
        with pytest.raises(TypeError, match="must change the variable in place"):
            model.train_on_batch(np.ones((2, 3)), np.ones(2))

    @pytest.mark.parametrize("engine", ENGINES)
    def test_the_gradient_is_not_to_be_changed(self, engine):
        class Changing(Optimizer):
            def update_step(self, gradient, variable, learning_rate):
                gradient *= learning_rate

        model = Sequential([Dense(1, input_dim=3)], engine=engine)
        model.compile(Changing(0.1), "mse")
        with pytest.raises(ValueError, match="read-only"):
            model.train_on_batch(np.ones((2, 3)), np.ones(2))

    def test_a_step_is_needed(self):
        class Empty(Optimizer):
            pass

        model = Sequential([Dense(1, input_dim=3)])
        model.compile(Empty(0.1), "mse")
        with pytest.raises(NotImplementedError, match="Empty must define update_step"):
            model.train_on_batch(np.ones((2, 3)), np.ones(2))

    def test_its_own_step_goes_before_the_kernel_of_its_base(self):
        class Still(Adam):
            def update_step(self, gradient, variable, learning_rate, m, v):
                pass

        w = np.ones(2)
        Still(0.1).apply([np.ones(2)], [w])
        np.testing.assert_array_equal(w, [1.0, 1.0])


# Averages and accumulation in a model


def problem(engine=None, optimizer=None, layers=None, dtype="float64"):
    """Return a compiled model and data."""
    utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(24, 3))
    y = np.sin(x).sum(axis=1)
    model = Sequential(
        layers or [Dense(8, "tanh", input_dim=3), Dense(1)], engine=engine, dtype=dtype
    )
    model.compile(optimizer or SGD(0.1), "mse", metrics=["mae"])
    return model, x, y


@pytest.mark.parametrize("engine", ENGINES)
class TestAveragesInAModel:
    def test_the_weights_are_their_averages_after_fit(self, engine):
        model, x, y = problem(engine, SGD(0.1, use_ema=True, ema_momentum=0.75))
        plain, _, _ = problem(engine)
        average = None
        for _ in range(5):
            plain.train_on_batch(x, y)
            weights = plain.get_weights()
            if average is None:
                average = weights
            average = [0.75 * a + 0.25 * w for a, w in zip(average, weights, strict=True)]
        model.fit(x, y, batch_size=24, epochs=5, shuffle=False, verbose=0)
        for got, expected in zip(model.get_weights(), average, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-12)

    def test_single_steps_leave_them_until_they_are_asked_for(self, engine):
        model, x, y = problem(engine, SGD(0.1, use_ema=True, ema_momentum=0.5))
        plain, _, _ = problem(engine)
        seen = []
        for each_model in (model, plain):
            for _ in range(2):
                each_model.train_on_batch(x, y)
                seen.append(each_model.get_weights())
        for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        model.optimizer.finalize_variable_values(model.trainable_weights)
        for got, first, second in zip(model.get_weights(), *seen[2:], strict=True):
            np.testing.assert_allclose(got, (first + second) / 2, rtol=1e-12)
        with pytest.raises(ValueError, match=r"model\.trainable_weights"):
            model.optimizer.finalize_variable_values([np.zeros(2)])

    def test_frozen_weights_stay_and_may_be_trained_later(self, engine):
        model, x, y = problem(engine, SGD(0.01, use_ema=True, ema_momentum=0.9))
        model.layers[0].trainable = False
        before = model.get_weights()
        model.fit(x, y, epochs=2, verbose=0)
        np.testing.assert_array_equal(model.get_weights()[0], before[0])
        model.layers[0].trainable = True
        model.fit(x, y, epochs=1, verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], before[0], atol=0.1)

    def test_copies_go_on_where_the_model_stood(self, engine):
        optimizer = Adam(0.1, use_ema=True, ema_momentum=0.5, gradient_accumulation_steps=3)
        model, x, y = problem(engine, optimizer)
        model.fit(x, y, batch_size=12, epochs=2, verbose=0)
        twin = pickle.loads(pickle.dumps(model))
        for each_model in (model, twin):
            utils.set_random_seed(5)
            each_model.fit(x, y, batch_size=12, epochs=2, verbose=0)
        for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("cls", [SGD, Adam, Nadam, SignDescent])
def test_accumulated_batches_are_one_large_batch(engine, cls):
    small, x, y = problem(engine, cls(0.05, gradient_accumulation_steps=3, clipnorm=0.5))
    large, _, _ = problem(engine, cls(0.05, clipnorm=0.5))
    small.fit(x, y, batch_size=8, epochs=4, shuffle=False, verbose=0)
    large.fit(x, y, batch_size=24, epochs=4, shuffle=False, verbose=0)
    assert small.optimizer.iterations == large.optimizer.iterations == 4
    for a, b in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_moves_until_the_last_batch_of_a_step(engine):
    model, x, y = problem(engine, Adam(0.1, gradient_accumulation_steps=3, weight_decay=0.1))
    before = model.get_weights()
    for step in range(1, 4):
        model.train_on_batch(x, y)
        moved = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
        assert all(moved) if step == 3 else not any(moved)
        assert model.optimizer.iterations == step // 3


# L-BFGS


def lbfgs(engine=None, epochs=40, dtype="float64", layers=None, **options):
    pytest.importorskip("scipy")
    model, x, y = problem(engine, LBFGS(**options), layers, dtype)
    return model, x, y, model.fit(x, y, epochs=epochs, verbose=0)


@pytest.mark.parametrize("engine", ENGINES)
class TestLBFGS:
    def test_it_goes_the_way_of_scipy(self, engine):
        """Alone on the loss and a numerical gradient, SciPy comes by the same losses."""
        model, x, y, history = lbfgs(engine, epochs=5)
        twin, _, _ = problem(engine)
        shapes = [w.shape for w in twin.get_weights()]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

        def loss(point):
            parts = np.split(point, ends)
            twin.set_weights([p.reshape(s) for p, s in zip(parts, shapes, strict=True)])
            return twin.evaluate(x, y, verbose=0)[0]

        start = np.concatenate([w.ravel() for w in twin.get_weights()])
        seen = []
        pytest.importorskip("scipy.optimize").minimize(
            loss,
            start,
            jac=lambda point: numerical_gradient(loss, point),
            method="L-BFGS-B",
            callback=lambda point: seen.append(loss(point)),
            options={"maxiter": 5},
        )
        np.testing.assert_allclose(history.history["loss"], seen, rtol=1e-6)
        assert model.evaluate(x, y, verbose=0)[0] == pytest.approx(seen[-1], rel=1e-6)

    def test_it_finds_the_least_squares(self, engine):
        model, x, y, history = lbfgs(engine, layers=[Dense(1, input_dim=3)], tolerance_grad=1e-9)
        extended = np.column_stack([x, np.ones(len(x))])
        solution, *_ = np.linalg.lstsq(extended, y, rcond=None)
        kernel, bias = model.get_weights()
        np.testing.assert_allclose([*kernel[:, 0], *bias], solution, rtol=1e-6)
        assert len(history.epoch) < 40
        assert model.optimizer.iterations == len(history.epoch)

    def test_history_tells_loss_and_metrics_after_each_epoch(self, engine):
        model, x, y, history = lbfgs(engine, epochs=7)
        assert history.epoch == list(range(7))
        assert sorted(history.history) == ["loss", "mae"]
        assert (np.diff(history.history["loss"]) < 0).all()
        last = [history.history[name][-1] for name in ("loss", "mae")]
        np.testing.assert_allclose(model.evaluate(x, y, verbose=0), last, rtol=1e-12)

    def test_a_fit_at_the_minimum_has_one_epoch(self, engine):
        model, x, y, _ = lbfgs(engine, layers=[Dense(1, input_dim=3)])
        before = model.get_weights()
        history = model.fit(x, y, epochs=9, verbose=0)
        assert history.epoch == [0]
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_allclose(new, old, atol=1e-3)

    def test_penalties_weights_and_frozen_layers_count(self, engine):
        pytest.importorskip("scipy")
        layers = [Dense(4, "tanh", input_dim=3, kernel_regularizer="l2"), Dense(1)]
        model, x, y = problem(engine, LBFGS(), layers)
        layers[1].trainable = False
        frozen = model.get_weights()[2:]
        weights = np.linspace(0, 1, 24)
        history = model.fit(x, y, epochs=30, sample_weight=weights, verbose=0)
        got = model.evaluate(x, y, sample_weight=weights, verbose=0)[0]
        assert history.history["loss"][-1] == pytest.approx(got)
        for old, new in zip(frozen, model.get_weights()[2:], strict=True):
            np.testing.assert_array_equal(new, old)

    def test_validation_and_callbacks_are_heard(self, engine):
        pytest.importorskip("scipy")
        model, x, y = problem(engine, LBFGS())
        begun = []

        def stop(epoch, logs):
            model.stop_training = epoch == 4

        watch = LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
        ending = LambdaCallback(on_epoch_end=stop)
        history = model.fit(
            *(x, y),
            epochs=20,
            initial_epoch=2,
            validation_split=0.25,
            callbacks=[watch, ending],
            verbose=0,
        )
        assert begun == history.epoch == [2, 3, 4]
        assert "val_loss" in history.history
        got = model.evaluate(x[18:], y[18:], verbose=0)[0]
        assert got == pytest.approx(history.history["val_loss"][-1])

    def test_an_error_leaves_the_last_finished_epoch(self, engine):
        pytest.importorskip("scipy")
        model, x, y = problem(engine, LBFGS())
        seen = []

        def end(epoch, logs):
            seen.append(model.get_weights())
            if epoch == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, epochs=9, callbacks=[LambdaCallback(on_epoch_end=end)], verbose=0)
        for old, new in zip(seen[-1], model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_float32_gets_there_too(self, engine):
        model, *_, history = lbfgs(engine, epochs=60, dtype="float32")
        assert history.history["loss"][-1] < 0.01
        assert model.get_weights()[0].dtype == np.float32


class TestLBFGSRefuses:
    def test_batches(self):
        pytest.importorskip("scipy")
        model, x, y = problem(optimizer="lbfgs")
        with pytest.raises(ValueError, match="leave batch_size out"):
            model.fit(x, y, batch_size=8, verbose=0)
        with pytest.raises(ValueError, match="call fit"):
            model.train_on_batch(x, y)

    def test_arrays(self):
        with pytest.raises(TypeError, match="Sequential"):
            LBFGS().apply_gradients([(np.ones(2), np.ones(2))])

    @pytest.mark.parametrize(
        ("layer", "message"),
        [
            (Dropout(0.5), "must not depend on chance"),
            (GaussianNoise(0.5), "must not depend on chance"),
            (BatchNormalization(), "moving means"),
            (Dense(3, kernel_constraint="non_neg"), "without constraints"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_chance_and_statistics(self, layer, message):
        pytest.importorskip("scipy")
        layers = [Dense(4, input_dim=3), layer, Dense(1)]
        model, x, y = problem(optimizer="lbfgs", layers=layers)
        before = model.get_weights()
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old)

    def test_a_missing_scipy(self, monkeypatch):
        def missing(module):
            raise ModuleNotFoundError(f"No module named '{module}'", name=module)

        monkeypatch.setattr(_extras.importlib, "import_module", missing)
        model, x, y = problem(optimizer="lbfgs")
        with pytest.raises(ImportError, match=r"fastnn\[lbfgs\]"):
            model.fit(x, y, verbose=0)


def test_settings_are_equal_where_rules_are():
    """A learning rate is a step's, not the rule's."""
    assert Adam(0.1).settings() == Adam(0.2).settings()
    assert Adam().settings() != Adam(clipnorm=1.0).settings()
    assert Adam().settings() != SGD().settings()


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_a_fit_takes_the_trainer_of_the_last_one_if_nothing_has_changed(engine, monkeypatch):
    made = []
    trainer = Compiled.trainer
    monkeypatch.setattr(Compiled, "trainer", lambda *args: made.append(trainer(*args)) or made[-1])
    model = Sequential([Dense(3, input_dim=4), Dense(1)], engine=engine)
    model.compile(Adam(), "mean_squared_error")
    x, y = np.ones((8, 4)), np.ones((8, 1))
    for _ in range(3):
        model.fit(x, y, verbose=0)
    assert len(made) == 1
    model.optimizer.clipnorm = 1.0
    model.fit(x, y, verbose=0)
    assert len(made) == 2
