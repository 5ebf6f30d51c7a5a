"""Every example runs, says what it found and, if it draws, writes its picture."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"

FINDINGS = {
    "dying_relu": r"(\d\d)% of units are dead",
    "embedding": r"alone +39\d g\n.*one-hot columns +(2[89]|30)\d g\n.*embeddings +(2[89]|30)\d g",
    "forward_by_hand": r"largest difference: (0\.0e\+00|\d\.\de-1[5-9])",
    "gates": r"XOR +not learnt[^\n]*\nXOR +with a hidden layer of two units says \[0, 1, 1, 0\]",
    "linear_collapse": r"largest difference between the network and that line: \d\.\de-1[4-9]",
    "logistic_regression": r"largest difference: \d\.\de-(0[4-9]|1\d)",
    "own_activation": r"all 33 gradients compared are right",
    "own_callback": r"0\.95 is reached",
    "own_layer": r"all \d+ gradients compared are right[^\n]*\naccuracy [^\n]* (0\.9[5-9]|1\.0)",
    "own_loss": r"Cauchy +y = (1\.9|2\.0)\d\d x \+ -(0\.9|1\.0)\d\d\nall \d+ gradients .* right",
    "own_optimizer": r"test accuracy 0\.9[5-9][^$]*engines: (0\.0e\+00|\d\.\de-(0[7-9]|1\d))",
    "own_schedule": r"learning rate triangles [^\n]* test accuracy 0\.9[5-9]",
    "recurrent": r"forward after 100 [^\n]* [45]\d\.\d% right\nrecurrent +after [^\n]* (9\d|100)",
    "softmax_classes": r"accuracy on 30 flowers not trained on: (0\.[89]|1\.0)",
    "vanishing_gradient": r"relu after 15 epochs: 0\.9",
}
"""What some of them must have found, wherever they run."""


def run(example, folder, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "error", str(example), *arguments],
        cwd=folder,
        env=os.environ | {"MPLBACKEND": "Agg"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_example(example, tmp_path):
    arguments = []
    if example.stem == "mnist":
        if not MNIST.exists():
            pytest.skip(f"MNIST is not there: {MNIST.name} beside this tree")
        arguments = [str(MNIST)]
    draws = "savefig" in example.read_text()
    if draws:
        pytest.importorskip("matplotlib")

    done = run(example, tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert re.search(FINDINGS.get(example.stem, ""), done.stdout), done.stdout
    files = [path.name for path in tmp_path.iterdir()]
    assert files == ([f"{example.stem}.png"] if draws else [])
    if draws:
        picture = (tmp_path / files[0]).read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 5000
        assert done.stdout.splitlines()[-1] == f"Picture: {files[0]}"


def test_pictures_can_have_another_name(tmp_path):
    pytest.importorskip("matplotlib")
    done = run(FOLDER / "forward_by_hand.py", tmp_path, "mine.png")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.png"]


def test_every_example_is_in_the_list():
    listed = re.findall(r"\]\((\w+)\.py\)", (FOLDER / "README.md").read_text())
    assert sorted(listed) == [path.stem for path in EXAMPLES]


def test_every_finding_belongs_to_an_example():
    assert set(FINDINGS) <= {path.stem for path in EXAMPLES}
