"""Twenty steps of every optimizer, against what Keras 3.15 computed in float64 (JAX backend)."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, optimizers, reference
from fastnn.reference.step import Weights, take_step

STEPS = 20

# Weights after the steps; with moving averages, these too.
TRAJECTORIES = [
    (optimizers.SGD(0.05), [0.686362834183, 0.961732371068, 0.227582075393, -0.618158531238]),
    (
        optimizers.SGD(0.05, momentum=0.9),
        [0.480078633674, 2.0414670095, -0.849970919655, -2.07300539439],
    ),
    (
        optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
        [0.508823776535, 1.09710503274, -0.822313563691, -1.99443107245],
    ),
    (optimizers.RMSprop(0.05), [0.549810828812, -0.696728675734, -0.453875660766, -1.43692014426]),
    (
        optimizers.RMSprop(0.05, momentum=0.5, weight_decay=0.1),
        [0.575663149128, 0.26372067314, -0.794088693202, -2.07714553514],
    ),
    (
        optimizers.RMSprop(0.05, centered=True),
        [0.546347134037, -0.0935016425417, -0.584863416467, -2.11989532525],
    ),
    (
        optimizers.RMSprop(0.05, rho=0.8, momentum=0.5, centered=True),
        [0.583189172288, 0.860915548089, -0.87562026464, -2.17244722151],
    ),
    (
        optimizers.Adagrad(0.3, weight_decay=0.1),
        [0.495826817351, 0.113895180329, -0.516342074103, -1.55564644716],
    ),
    (optimizers.Adam(0.1), [0.470056310434, -0.120203010391, -0.943321565659, -1.7466976417]),
    (
        optimizers.Adam(0.1, amsgrad=True, beta_2=0.9),
        [0.466883512522, -0.0838958886714, -0.935630189593, -1.6742934223],
    ),
    (
        optimizers.AdamW(0.1, amsgrad=True, beta_2=0.9),
        [0.466984974827, -0.0765884777291, -0.933384429198, -1.6690788216],
    ),
    (optimizers.Adadelta(1.0), [0.976128389274, -1.97050542937, 0.476427278496, 0.215839388837]),
    (
        optimizers.Adadelta(2.0, rho=0.8, epsilon=0.001, weight_decay=0.1),
        [0.371871722819, 0.374452968966, -0.288511048397, -1.59562432355],
    ),
    (optimizers.Adamax(0.1), [0.411649930945, -0.3484553432, -0.592079114677, -1.28120545792]),
    (
        optimizers.Adamax(0.1, beta_1=0.8, beta_2=0.9, weight_decay=0.1),
        [0.523552691451, 0.595254881216, -0.756477152675, -1.29137172925],
    ),
    (optimizers.Nadam(0.1), [0.469554564788, -0.495399088264, -0.633626710833, -1.59297712372]),
    (
        optimizers.Nadam(0.1, beta_1=0.8, beta_2=0.9, weight_decay=0.1),
        [0.5322422058, -0.103090008167, -0.678344797031, -1.65750605013],
    ),
    (optimizers.Ftrl(0.3), [0.554277013219, -0.092907486176, -0.76857135611, -1.90199027469]),
    (
        optimizers.Ftrl(
            0.3, l1_regularization_strength=0.2, l2_regularization_strength=0.1, beta=0.4
        ),
        [0.532844825072, -0.066617099189, -0.570796086529, -1.48284437769],
    ),
    (
        optimizers.Ftrl(
            0.3,
            learning_rate_power=-0.7,
            l2_shrinkage_regularization_strength=0.1,
            weight_decay=0.1,
        ),
        [0.464081744874, -1.23626558265, -0.444948670513, -1.38513625853],
    ),
    (optimizers.Lion(0.03), [0.4, -1.4, -0.1, -0.3]),
    (
        optimizers.Lion(0.03, beta_1=0.7, beta_2=0.8, weight_decay=0.1),
        [0.477936235762, -1.30015530447, -0.112364108591, -0.300700030332],
    ),
    (
        optimizers.Adam(0.1, clipnorm=0.4, use_ema=True, ema_momentum=0.8),
        [
            0.547893510643,
            5.92849782984e-05,
            -0.970625312892,
            -1.75160205535,
            0.463321753825,
            -0.394168850485,
            -0.766106342607,
            -1.33922709403,
        ],
    ),
    (
        optimizers.SGD(
            0.1, momentum=0.9, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=3
        ),
        [
            0.554626751499,
            1.06011326085,
            -0.879984229639,
            -2.15969413883,
            0.456364436904,
            1.11304141412,
            -0.762372661159,
            -1.85606020242,
        ],
    ),
    (
        optimizers.Adam(0.2, clipvalue=0.5, weight_decay=0.1, gradient_accumulation_steps=3),
        [0.245547525068, -0.630112906456, -0.574034216026, -0.86968710841],
    ),
    (
        optimizers.Nadam(0.2, global_clipnorm=0.9, gradient_accumulation_steps=3),
        [0.487795882293, -1.0634582821, -0.287252859868, -0.845666504544],
    ),
    (
        optimizers.Adamax(
            0.2,
            gradient_accumulation_steps=4,
            use_ema=True,
            ema_momentum=0.7,
            ema_overwrite_frequency=2,
        ),
        [
            0.591558750722,
            -1.40837869691,
            0.0166200977048,
            -0.177751817142,
            0.649391502721,
            -1.53578668853,
            0.104675756117,
            -0.0905176959645,
        ],
    ),
]
cases = pytest.mark.parametrize(("example", "expected"), TRAJECTORIES, ids=lambda x: repr(x)[:60])


def start():
    return [np.array([1.0, -2.0, 0.5]), np.array([0.3])]


def gradients(w, b, step):
    """Those of a quadratic and of something steeper, neither the same for long."""
    moving = np.sin(step) * np.array([0.3, -0.1, 0.2])
    slope = np.array([1.0, 4.0, 0.2]) * (w - np.array([0.5, 1.0, -1.0])) + moving
    return [slope, np.cos(w[:1]) * b + 0.1 * step]


def fresh(optimizer):
    return type(optimizer).from_config(optimizer.get_config())


@cases
def test_arrays_go_the_way_they_go_with_keras(isa, example, expected):
    optimizer, variables = fresh(example), start()
    for step in range(STEPS):
        optimizer.apply(gradients(*variables, step), variables)
    got = [*variables]
    if optimizer.use_ema:
        got = [array.copy() for array in variables]
        optimizer.finalize_variable_values(variables)
        got += variables
    np.testing.assert_allclose(np.concatenate(got), expected, rtol=1e-9, atol=1e-10)


@cases
def test_so_they_do_with_the_reference(example, expected):
    optimizer, variables = fresh(example), start()
    rule = optimizer.rule()
    kept = [
        Weights(
            values,
            values,
            [np.full_like(values, value) for value in optimizer.slot_values],
            np.zeros_like(values),
            np.zeros_like(values),
        )
        for values in variables
    ]
    for step in range(STEPS):
        for each, gradient in zip(kept, gradients(*variables, step), strict=True):
            each.gradient = gradient
        row = optimizer.hyperparameters(step, 1)[0].tolist()
        take_step(kept, rule, getattr(reference, rule.kernel), step, row)
    got = [*variables, *(each.average for each in kept if optimizer.use_ema)]
    np.testing.assert_allclose(np.concatenate(got), expected, rtol=1e-9, atol=1e-10)


def test_every_optimizer_with_a_kernel_is_compared():
    compared = {type(example).kernel for example, _ in TRAJECTORIES}
    steps = set(kernels.__all__) & {
        cls.kernel
        for cls in vars(optimizers).values()
        if isinstance(cls, type) and issubclass(cls, optimizers.Optimizer)
    }
    assert compared == steps
