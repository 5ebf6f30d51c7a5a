"""Automatic names of layers and models: ``dense``, ``dense_1``, ``dense_2``, ..."""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator

_counters: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)


def automatic_name(class_name: str) -> str:
    """Return the next free name for an instance of `class_name`, counted over the process.

    Examples
    --------
    >>> from fastnn._naming import automatic_name
    >>> automatic_name("MyLayer"), automatic_name("MyLayer")
    ('my_layer', 'my_layer_1')
    """
    stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", class_name).lower()
    number = next(_counters[stem])
    return f"{stem}_{number}" if number else stem


def clear_session() -> None:
    """Count automatic names from the beginning again."""
    _counters.clear()
