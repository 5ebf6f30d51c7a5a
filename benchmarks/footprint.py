"""What fastnn costs besides time: its import, its size on disk, and the memory of a training.

    python benchmarks/footprint.py [--json FILE] [--markdown]

The import is timed in fresh interpreters, in turn with one that imports NumPy only, from the
bytecode that pip leaves. The size is that of the installed files; of an editable installation, that
of a wheel built for the purpose. The memory is the highest that a process had while it trained,
beyond what it had when only the data existed, next to what parameters, gradient, optimizer and one
batch take.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from zipfile import ZipFile

import bytecode
import machine
import readme
import threads

HERE = Path(__file__).parent
IMPORT_ROUNDS = 21


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write it all there")
    parser.add_argument("--markdown", action="store_true", help="rewrite the table in README.md")
    options = parser.parse_args(arguments)
    threads.set_up(1)
    bytecode.prepare()
    footprint = import_times() | installed_size() | training_memory()
    where = machine.describe(1)
    text = f"{machine.sentence(where)}\n\n{_table(footprint)}"
    print(text)
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "footprint": footprint}, indent=1))
    if options.markdown:
        readme.rewrite("footprint", text)


def import_times() -> dict[str, float]:
    """Return the seconds of importing NumPy, and of importing fastnn beyond that."""
    alone, both = [], []
    for _ in range(IMPORT_ROUNDS):
        alone.append(_seconds_of("import numpy"))
        both.append(_seconds_of("import numpy, fastnn"))
    beyond = median(b - a for a, b in zip(alone, both, strict=True))
    return {"import_numpy_seconds": median(alone), "import_beyond_numpy_seconds": beyond}


def _seconds_of(code: str) -> float:
    start = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return perf_counter() - start


def installed_size() -> dict[str, Any]:
    """Return the bytes of the package's files, and whether they come from a wheel built here."""
    installed = distribution("fastnn")
    if not _is_editable(installed):
        files = [Path(str(file.locate())) for file in installed.files or ()]
        size = sum(file.stat().st_size for file in files if file.exists())
        return {"installed_bytes": size, "from_wheel": False}
    with (
        TemporaryDirectory(prefix="fastnn-wheel-") as folder,
        ZipFile(_wheel(Path(folder))) as wheel,
    ):
        size = sum(file.file_size for file in wheel.infolist())
    return {"installed_bytes": size, "from_wheel": True}


def _is_editable(installed: Distribution) -> bool:
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return bool(origin.get("dir_info", {}).get("editable"))


def _wheel(folder: Path) -> Path:
    """Build a wheel from a copy of the sources, which leaves nothing beside them."""
    tree, root = folder / "fastnn", HERE.parent
    built = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__")
    shutil.copytree(root / "src", tree / "src", ignore=built)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy2(root / name, tree)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(folder)]
    subprocess.run([*command, "--no-build-isolation", str(tree)], check=True)
    return next(folder.glob("*.whl"))


def training_memory() -> dict[str, int]:
    """Return the bytes that a training took and those that it is known to need."""
    command = [sys.executable, str(HERE / "training_memory.py")]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _table(footprint: dict[str, Any]) -> str:
    wheel = ", unpacked wheel" if footprint["from_wheel"] else ""
    training = f"training of {footprint['parameters'] / 1e6:.1f} million parameters with Adam"
    rows = [
        ["import of NumPy", f"{1e3 * footprint['import_numpy_seconds']:.0f} ms"],
        ["import of fastnn beyond", f"{1e3 * footprint['import_beyond_numpy_seconds']:.0f} ms"],
        [f"files, without NumPy{wheel}", f"{footprint['installed_bytes'] / 1e6:.2f} MB"],
        [training, f"{footprint['training_bytes'] / 1e6:.1f} MB"],
        ["of which accounted for", f"{footprint['expected_bytes'] / 1e6:.1f} MB"],
    ]
    return readme.table(["", ""], rows)


if __name__ == "__main__":
    sys.exit(main())
