"""The examples in docstrings and README are true, and what is public is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import fastnn

README = Path(__file__).parents[1] / "README.md"
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastnn.__path__, "fastnn.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def test_some_examples_were_found():
    for name in ("models", "losses", "reference.activations"):
        assert doctest.testmod(importlib.import_module(f"fastnn.{name}")).attempted > 0


def test_examples_of_readme():
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted > 10
    assert result.failed == 0


def public_names():
    for name in MODULES:
        if any(part.startswith("_") for part in name.split(".")) or ".native" in name:
            continue
        module = importlib.import_module(name)
        for attribute, thing in vars(module).items():
            if attribute.startswith("_") or getattr(thing, "__module__", None) != name:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{name}.{attribute}", thing


@pytest.mark.parametrize(("name", "thing"), [*public_names()])
def test_everything_public_is_documented(name, thing):
    assert thing.__doc__, f"{name} has no docstring"
