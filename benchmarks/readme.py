"""Puts what was measured between its marks in README.md."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def rewrite(block: str, text: str) -> None:
    """Replace what stands between the marks of a block.

    Raises
    ------
    ValueError
        If the marks are missing.
    """
    begin, end = f"<!-- benchmark {block}: begin -->", f"<!-- benchmark {block}: end -->"
    before, found, rest = README.read_text().partition(begin)
    _, also_found, after = rest.partition(end)
    if not found or not also_found:
        raise ValueError(f"README.md needs the lines {begin} and {end} where the text is to go")
    README.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
