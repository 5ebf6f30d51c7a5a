"""The options that all commands which take times have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that knows how long to measure and where to write."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = result.add_argument
    add("--quick", action="store_true", help="a few cases, short times")
    add("--rounds", type=int, default=9, help="measurements of each (default 9)")
    add("--seconds", type=float, default=0.03, help="time of a measurement (default 0.03)")
    add("--json", type=Path, metavar="FILE", help="write all times there")
    add("--markdown", action="store_true", help="rewrite the tables in README.md")
    return result


def options(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed options; ``--quick`` sets rounds and seconds."""
    parsed = parser.parse_args(arguments)
    if parsed.quick and (parsed.markdown or getattr(parsed, "save_baseline", False)):
        parser.error("--quick only shows that everything works: its times are not to be kept")
    if parsed.quick:
        parsed.rounds, parsed.seconds = 3, 0.002
    return parsed
