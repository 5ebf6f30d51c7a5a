"""Puts what was measured between its marks in README.md, or in benchmarks/README.md."""

from __future__ import annotations

from pathlib import Path

FILES = (Path(__file__).parents[1] / "README.md", Path(__file__).parent / "README.md")


def rewrite(block: str, text: str) -> None:
    """Replace what stands between the marks of a block.

    Raises
    ------
    ValueError
        If neither file has the marks.
    """
    begin, end = f"<!-- benchmark {block}: begin -->", f"<!-- benchmark {block}: end -->"
    for file in FILES:
        before, found, rest = file.read_text().partition(begin)
        _, also_found, after = rest.partition(end)
        if found and also_found:
            file.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
            return
    raise ValueError(f"a README.md needs the lines {begin} and {end} where the text is to go")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
