"""How the vocabulary is declared: objects known by name, made anew from their arguments.

A `Registry` turns what users write (a name, a class, an instance, a config) into an object; a
`Configurable` object says which arguments it was made with; `real` checks one such argument.
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import numpy as np

T = TypeVar("T")

_custom: ContextVar[Mapping[str, Any]] = ContextVar("custom", default=MappingProxyType({}))


@contextmanager
def custom_classes(classes: Mapping[str, Any] | None) -> Iterator[None]:
    """Context in which every registry knows these classes by name, before those of its own."""
    token = _custom.set({**_custom.get(), **(classes or {})})
    try:
        yield
    finally:
        _custom.reset(token)


def real(value: Any, what: str, interval: str = "(-inf, inf)") -> float:
    """Return `value` as a float that lies in `interval`.

    Parameters
    ----------
    value : real number
    what : str
        How messages call it.
    interval : str, default "(-inf, inf)"
        In mathematical notation: a square bracket includes the bound, a round one does not.

    Raises
    ------
    TypeError
        If it is no real number, or a bool.
    ValueError
        If it is NaN or outside.

    Examples
    --------
    >>> real(1, "learning_rate", "[0, inf)")
    1.0
    >>> real(1, "beta_1", "[0, 1)")
    Traceback (most recent call last):
        ...
    ValueError: beta_1 must be a finite number in [0, 1), got 1
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise TypeError(f"{what} must be a number, got {value!r} ({type(value).__name__})")
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    number = float(value)
    inside = low < number < high
    inside |= number == low and interval.startswith("[")
    inside |= number == high and interval.endswith("]")
    if not inside:
        kind = "number" if interval.endswith("inf]") else "finite number"
        raise ValueError(f"{what} must be a {kind} in {interval}, got {value}")
    return number


class Configurable:
    """An object that keeps each argument of its constructor in the attribute of that name."""

    def _arguments(self) -> dict[str, Any]:
        """Return the arguments that make an equal object."""
        try:
            return {name: getattr(self, name) for name in _parameters(type(self))}
        except AttributeError as error:
            raise NotImplementedError(
                f"{type(self).__name__} must keep each argument of __init__ in the attribute of "
                f"the same name, or define get_config(): {error}"
            ) from None

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this object anew, as plain Python values.

        Raises
        ------
        NotImplementedError
            If a subclass keeps an argument under another name and does not define this method.
        """
        return {name: _plain(value) for name, value in self._arguments().items()}

    @classmethod
    def from_config(cls: type[T], config: Mapping[str, Any]) -> T:
        """Return a new object, made with the arguments that `get_config` returned."""
        return cls(**config)

    def __repr__(self) -> str:
        """Return the call that makes this object, without the arguments left at their default."""
        try:
            arguments = self._arguments()
        except NotImplementedError:
            return f"{type(self).__name__}(...)"
        defaults = {name: p.default for name, p in _parameters(type(self)).items()}
        given = [
            f"{name}={value!r}"
            for name, value in arguments.items()
            if repr(value) != repr(defaults[name])
        ]
        return f"{type(self).__name__}({', '.join(given)})"


def _parameters(cls: type) -> dict[str, inspect.Parameter]:
    """Return the named parameters of the constructor of `cls`."""
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(cls).parameters
    return {name: p for name, p in parameters.items() if p.kind not in variadic}


def _plain(value: Any) -> Any:
    """Return `value` in terms of numbers, strings, lists and dicts, where it can be so said."""
    if isinstance(value, Configurable):
        return as_config(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def as_config(instance: Any) -> dict[str, Any]:
    """Return ``{"class_name": ..., "config": ...}``, from which a registry makes the object."""
    return {"class_name": type(instance).__name__, "config": instance.get_config()}


class Registry(Generic[T]):
    """The objects of one kind that are known by name.

    Parameters
    ----------
    kind : str
        How messages call them: ``"activation"``.
    base : type
        The class of all of them.
    entries : mapping of str to class or instance
        An instance stands for itself; a class is called without arguments. A class is also
        known by its own name.
    aliases : mapping of str to str, optional
        Other names of entries.
    advice : str, optional
        What to do instead of passing a plain function.

    Examples
    --------
    >>> from fastnn.regularizers import L1, L2, Regularizer
    >>> registry = Registry("regularizer", Regularizer, {"l1": L1, "l2": L2})
    >>> registry.get("l2")
    L2()
    >>> registry.get({"class_name": "L1", "config": {"l1": 0.5}})
    L1(l1=0.5)
    >>> registry.get("l3")
    Traceback (most recent call last):
        ...
    ValueError: Unknown regularizer 'l3'. Did you mean 'l2' or 'l1'? Known: 'l1', 'l2'.
    """

    def __init__(
        self,
        kind: str,
        base: type[T],
        entries: Mapping[str, type[T] | T],
        aliases: Mapping[str, str] | None = None,
        advice: str = "",
    ) -> None:
        self.kind = kind
        self.base = base
        self.entries = dict(entries)
        self.advice = advice
        classes = (entry if isinstance(entry, type) else type(entry) for entry in entries.values())
        self._lookup: dict[str, type[T] | T] = {cls.__name__: cls for cls in classes}
        self._lookup |= {alias: self.entries[name] for alias, name in (aliases or {}).items()}
        self._lookup |= self.entries

    def get(self, identifier: Any) -> T:
        """Return the object that `identifier` stands for.

        Parameters
        ----------
        identifier : str, class, instance or dict
            A name; a class, to be called without arguments; an object of the right kind, which
            is returned as it is; a dict of the form of `serialize`.

        Raises
        ------
        ValueError
            If the name is unknown (the message gives near matches), or the dict malformed.
        TypeError
            If it is none of these.
        """
        if isinstance(identifier, str):
            return self._made(self.find(identifier))
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier)
        if isinstance(identifier, self.base):
            return identifier
        if isinstance(identifier, type) and issubclass(identifier, self.base):
            return identifier()
        raise self._wrong_type(identifier)

    def find(self, name: str) -> type[T] | T:
        """Return the class or instance known as `name`."""
        custom = _custom.get().get(name)
        if isinstance(custom, type) and issubclass(custom, self.base):
            return custom
        if name in self._lookup:
            return self._lookup[name]
        known = ", ".join(f"'{entry}'" for entry in sorted(self.entries))
        near = self._near(name)
        question = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"Unknown {self.kind} {name!r}.{question} Known: {known}.")

    def serialize(self, instance: T) -> dict[str, Any]:
        """Return ``{"class_name": ..., "config": ...}``."""
        if not isinstance(instance, self.base):
            raise self._wrong_type(instance)
        return as_config(instance)

    def deserialize(
        self, config: Mapping[str, Any], custom_objects: Mapping[str, type[T]] | None = None
    ) -> T:
        """Return a new object from what `serialize` returned.

        Parameters
        ----------
        config : dict
        custom_objects : dict of str to class, optional
            Classes by name, looked at before those that are known, here and for what the object
            is made of.
        """
        if not isinstance(config, Mapping) or "class_name" not in config:
            raise ValueError(
                f"the config of {_article(self.kind)} must be a dict with 'class_name' and "
                f"'config', got {config!r}"
            )
        with custom_classes(custom_objects):
            entry = self.find(config["class_name"])
            cls: Any = entry if isinstance(entry, type) else type(entry)
            made: T = cls.from_config(config.get("config", {}))
        return made

    def _made(self, entry: type[T] | T) -> T:
        return entry() if isinstance(entry, type) else entry

    def _near(self, name: str) -> list[str]:
        """Return the names most like `name`, upper and lower case being alike."""
        import difflib  # for messages only

        spellings = {known.lower(): known for known in [*self._lookup, *self.entries]}
        near = difflib.get_close_matches(name.lower(), spellings, n=2, cutoff=0.5)
        return [f"'{spellings[match]}'" for match in near]

    def _wrong_type(self, identifier: Any) -> TypeError:
        is_class = isinstance(identifier, type)
        got = f"class {identifier.__name__}" if is_class else type(identifier).__name__
        advice = f". {self.advice}" if self.advice and callable(identifier) else ""
        return TypeError(
            f"{_article(self.kind)} must be a name, {_article(self.base.__name__)} (class or "
            f"instance) or a config dict, got {got}{advice}"
        )


def _article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"
