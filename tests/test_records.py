"""Records: fields that are given once."""

from __future__ import annotations

import copy

import pytest

from fastnn._records import Record


class Point(Record):
    x: int
    y: int = 0

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x must be at least 0")


class Named(Point):
    name: str = "origin"


def test_fields_come_in_order_by_name_or_by_default():
    assert (Point(1).x, Point(1).y, Point(1, 2).y, Point(y=3, x=1).y) == (1, 0, 2, 3)


def test_those_of_the_base_class_come_first():
    named = Named(1, 2, "corner")
    assert (named.x, named.y, named.name) == (1, 2, "corner")
    assert repr(named) == "Named(x=1, y=2, name='corner')"


@pytest.mark.parametrize(
    ("values", "named"), [((), {}), ((), {"y": 1}), ((1, 2, 3), {}), ((1,), {"z": 2})]
)
def test_other_fields_are_refused(values, named):
    with pytest.raises(TypeError, match="Point takes x, y, got"):
        Point(*values, **named)


def test_fields_are_checked_and_stay_as_they_are():
    with pytest.raises(ValueError, match="at least 0"):
        Point(-1)
    point = Point(1)
    with pytest.raises(AttributeError, match="Point cannot be changed"):
        point.x = 2
    assert copy.deepcopy(point).x == 1


def test_records_are_equal_to_themselves_only():
    assert Point(1) != Point(1)
    assert len({Point(1), Point(1)}) == 2
