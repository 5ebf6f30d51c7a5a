"""`Sequential.summary`: the exact table."""

from __future__ import annotations

import pytest

from fastnn import _naming
from fastnn.layers import Dense, Dropout, Flatten, Input
from fastnn.models import Sequential

EXPECTED = [
    'Model: "sequential"',
    "_________________________________________________________________",
    " Layer (type)                Output Shape              Param #   ",
    "=================================================================",
    " dense (Dense)               (None, 8)                 40        ",
    "                                                                 ",
    " dense_1 (Dense)             (None, 8)                 72        ",
    "                                                                 ",
    " dense_2 (Dense)             (None, 3)                 27        ",
    "                                                                 ",
    "=================================================================",
    "Total params: 139",
    "Trainable params: 139",
    "Non-trainable params: 0",
    "_________________________________________________________________",
]


def printed(model, **options):
    lines = []
    model.summary(print_fn=lines.append, **options)
    return lines


@pytest.fixture(autouse=True)
def fresh_names():
    _naming.clear_session()
    yield
    _naming.clear_session()


@pytest.fixture
def model():
    model = Sequential()
    model.add(Dense(8, input_dim=4, activation="relu"))
    model.add(Dense(8, activation="relu"))
    model.add(Dense(3, activation="softmax"))
    return model


def test_exact_lines(model):
    assert printed(model) == EXPECTED


def test_goes_to_standard_output(model, capsys):
    model.summary()
    assert capsys.readouterr().out == "\n".join(EXPECTED) + "\n"


def test_eight_parameters():
    model = Sequential()
    model.add(Dense(2, input_dim=3, activation="softmax"))
    lines = printed(model)
    assert lines[4] == " dense (Dense)               (None, 2)                 8         "
    assert "Total params: 8" in lines


def test_frozen_layers_and_thousands(model):
    big = Sequential([Input((28, 28)), Flatten(), Dense(100), Dropout(0.5), Dense(10)])
    big.layers[1].trainable = False
    lines = printed(big)
    assert lines[-4:-1] == [
        "Total params: 79,510",
        "Trainable params: 1,010",
        "Non-trainable params: 78,500",
    ]
    assert lines[4].startswith(" flatten (Flatten)           (None, 784)               0")
    assert not any("Input" in line for line in lines)


def test_line_length_and_positions(model):
    lines = printed(model, line_length=80, positions=[0.5, 0.75, 1.0])
    assert {len(line) for line in lines if line[0] in "_= "} == {80}
    assert lines[2].index("Output Shape") == 40
    assert lines[2].index("Param #") == 60
    assert printed(model, line_length=80, positions=[40, 60, 80]) == lines


def test_long_names_go_on_in_the_next_line():
    name = "a_name_of_more_than_twenty_six_characters"
    lines = printed(Sequential([Dense(1, input_dim=1, name=name)]))
    assert lines[4][:29].strip() + lines[5][:29].strip() == f"{name} (Dense)"
    assert {len(line) for line in lines if line[0] in "_= "} == {65}


def test_positions_are_three(model):
    with pytest.raises(ValueError, match="ends of 3 columns"):
        printed(model, positions=[0.5, 1.0])


def test_shape_must_be_known():
    with pytest.raises(ValueError, match="does not know the shape of its input"):
        Sequential([Dense(3)]).summary()
