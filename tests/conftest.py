"""What several tests share."""

from __future__ import annotations

import os
import sys

import pytest

import fastnn
from fastnn.native.dispatch import available_isas, use_isa

os.environ["MPLBACKEND"] = "Agg"  # pictures are drawn without a screen


@pytest.fixture(params=available_isas())
def isa(request):
    """Run the test under each instruction set that this machine has."""
    with use_isa(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def _fixed_seed():
    fastnn.utils.set_random_seed(1234)


@pytest.fixture(autouse=True)
def _same_threads():
    before = fastnn.get_num_threads()
    yield
    fastnn.set_num_threads(before)


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")
