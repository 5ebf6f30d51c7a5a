"""The examples in docstrings and README are true, and what is public is documented."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
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


def calls_of_users():
    """Yield what users call, by name: kernels, classes of the vocabulary, methods of models."""
    for name in fastnn.kernels.__all__:
        yield name, getattr(fastnn.kernels, name)
    for name, thing in public_names():
        module, _, _ = name.removeprefix("fastnn.").partition(".")
        if inspect.isclass(thing) and module in set(fastnn.__all__) - {"reference"}:
            yield name, thing
    for cls in (fastnn.Sequential, fastnn.Perceptron):
        for name, method in inspect.getmembers(cls, callable):
            if not name.startswith("_"):
                yield f"{cls.__name__}.{name}", method


def description(thing):
    """Return the docstring, and that of the method to which it leads with "see `method`"."""
    text = inspect.getdoc(thing) or ""
    elsewhere = re.search(r"see `(\w+)`", text)
    other = getattr(fastnn.Sequential, elsewhere[1], None) if elsewhere else None
    return text + (inspect.getdoc(other) if other else "")


@pytest.mark.parametrize(("name", "thing"), [*calls_of_users()])
def test_every_argument_is_described(name, thing):
    """In a section of its own, but a sentence will do for a method of one or two."""
    arguments = [argument for argument in inspect.signature(thing).parameters if argument != "self"]
    text = description(thing)
    in_section = "Parameters\n----" in text
    assert in_section or len(arguments) <= (2 if inspect.isfunction(thing) else 0)
    entry = r"^\*{{0,2}}(\w+, )*{}\b" if in_section else r"\b{}\b"
    missing = [a for a in arguments if not re.search(entry.format(a), text, re.MULTILINE)]
    assert missing == []
