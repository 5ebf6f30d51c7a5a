"""The examples that need nothing from outside."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_an_optimizer_of_ones_own():
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / "own_optimizer.py"), "--seed", "1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    own, usual = (float(number) for number in re.findall(r"accuracy (\S+),", finished.stdout))
    assert min(own, usual) > 0.95
    assert float(finished.stdout.split()[-1]) < 1e-6
