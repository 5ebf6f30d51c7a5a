"""Choice of the engine that runs a program: the one place where its name is resolved."""

from __future__ import annotations

import os

from fastnn.program import Engine

ENGINES = ("native", "reference")


def get_engine(name: str | None = None) -> type[Engine]:
    """Return the engine class called `name`.

    Parameters
    ----------
    name : {"native", "reference"}, optional
        Default: the environment variable ``FASTNN_ENGINE``, else ``"native"``.

    Raises
    ------
    ValueError
        If there is no such engine.
    """
    chosen = name or os.environ.get("FASTNN_ENGINE") or "native"
    if chosen == "native":
        from fastnn.native.engine import NativeEngine

        return NativeEngine
    if chosen == "reference":
        from fastnn.reference.engine import ReferenceEngine

        return ReferenceEngine
    known = "' or '".join(ENGINES)
    raise ValueError(f"engine must be '{known}', got {chosen!r}")
