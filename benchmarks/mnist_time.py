"""Time examples/mnist.py from the start of its process to the end, with several seeds.

    python benchmarks/mnist_time.py FILE [--seeds N] [--threads N] [--markdown]

FILE is an .npz with MNIST. Imports, loading of the data and the test are all in the time.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import bytecode
import machine
import readme
import threads

EXAMPLE = Path(__file__).parents[1] / "examples" / "mnist.py"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="an .npz with MNIST")
    parser.add_argument("--seeds", type=int, default=5, help="how many (default 5)")
    parser.add_argument("--threads", type=int, default=2, help="of fastnn (default 2)")
    parser.add_argument("--markdown", action="store_true", help="rewrite the table in README.md")
    options = parser.parse_args(arguments)
    threads.set_up_for_fastnn(options.threads)
    bytecode.prepare()
    runs = [_run(options.file, seed) for seed in range(options.seeds)]
    rows = [[str(seed), f"{t:.2f} s", f"{a:.2%}"] for seed, (t, a) in enumerate(runs)]
    rows.append(
        ["median", f"{median(t for t, _ in runs):.2f} s", f"{median(a for _, a in runs):.2%}"]
    )
    table = readme.table(["seed", "wall time", "test accuracy"], rows)
    text = f"{machine.sentence(machine.describe(options.threads))}\n\n{table}"
    print(text)
    if options.markdown:
        readme.rewrite("mnist", text)


def _run(file: Path, seed: int) -> tuple[float, float]:
    """Return the seconds of a process, and the accuracy that it prints."""
    command = [sys.executable, str(EXAMPLE), str(file), "--seed", str(seed)]
    start = perf_counter()
    finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return perf_counter() - start, float(finished.stdout.split()[-1])


if __name__ == "__main__":
    sys.exit(main())
