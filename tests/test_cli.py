"""What a newcomer tries first: the demonstration and the command line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastnn
from fastnn.cli import main


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def accuracy(text: str) -> float:
    return float(re.search(r"Test accuracy: ([\d.]+)", text)[1])


def confusion(text: str) -> list[list[int]]:
    rows = re.findall(r"^ \d \|(.*)$", text, re.MULTILINE)
    return [[0 if count == "." else int(count) for count in row.split()] for row in rows]


class TestDemo:
    def test_it_reaches_the_promised_accuracy(self, capsys):
        assert main(["demo", "--no-picture"]) == 0
        assert accuracy(capsys.readouterr().out) >= 0.97

    def test_it_shows_the_whole_story(self, capsys):
        assert main(["demo", "--no-picture", "--epochs", "3"]) == 0
        out, progress = capsys.readouterr()
        assert "3/3" in progress
        assert "Total params: 4,810" in out
        assert re.search(r"135 training steps of 32 samples .* µs per step, [\d,]+ samples/s", out)
        curve = re.findall(r"^ +(\d+)(?: +\d+\.\d{4}){4}$", out, re.MULTILINE)
        assert curve == ["1", "2", "3"]

    def test_the_confusion_table_agrees_with_the_accuracy(self, capsys):
        main(["demo", "--no-picture", "--epochs", "2"])
        out = capsys.readouterr().out
        table = confusion(out)
        assert [len(row) for row in table] == [10] * 10
        assert sum(map(sum, table)) == 364
        assert sum(table[i][i] for i in range(10)) / 364 == pytest.approx(accuracy(out), abs=5e-5)

    def test_a_seed_decides_everything(self, capsys):
        def result(seed: str) -> list[str]:
            main(["demo", "--no-picture", "--epochs", "2", "--seed", seed])
            out = capsys.readouterr().out
            return re.findall(r"\d\.\d{4}", out[out.index("Learning curve") :])

        assert result("3") == result("3")
        assert result("3") != result("4")

    def test_the_engine_can_be_chosen(self, capsys):
        assert main(["demo", "--no-picture", "--epochs", "2", "--engine", "reference"]) == 0
        assert accuracy(capsys.readouterr().out) > 0.5


class TestPicture:
    def test_it_is_written_where_asked(self, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        assert main(["demo", "--epochs", "1", "--output", "mine.png"]) == 0
        assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
        assert "Picture: mine.png" in capsys.readouterr().out

    def test_nothing_but_the_picture_is_left(self, tmp_path):
        pytest.importorskip("matplotlib")
        assert main(["demo", "--epochs", "1"]) == 0
        assert [path.name for path in tmp_path.iterdir()] == ["demo-digits.png"]

    def test_without_matplotlib_it_says_so(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert main(["demo", "--epochs", "1"]) == 0
        assert 'pip install "fastnn[plot]"' in capsys.readouterr().out
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("path", ["absent/picture.png", "picture.unknown"])
    def test_a_picture_that_cannot_be_written_is_an_error(self, path, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        assert main(["demo", "--epochs", "1", "--output", path]) == 1
        assert "could not be written" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


class TestCommandLine:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "command"),
            (["train"], "invalid choice"),
            (["demo", "--epochs", "0"], "must be at least 1, got 0"),
            (["demo", "--epochs", "2.5"], "invalid"),
            (["demo", "--engine", "abacus"], "invalid choice: 'abacus'"),
            (["demo", "--seed", "-1"], "must be at least 0, got -1"),
            (["demo", "--no-picture", "--output", "x.png"], "not allowed with"),
        ],
    )
    def test_wrong_arguments_are_refused(self, arguments, message, capsys):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert message in capsys.readouterr().err

    def test_the_version(self, capsys):
        with pytest.raises(SystemExit) as caught:
            main(["--version"])
        assert caught.value.code == 0
        assert capsys.readouterr().out == f"fastnn {fastnn.__version__}\n"

    def test_config_prints_the_configuration(self, capsys):
        assert main(["config"]) == 0
        printed = capsys.readouterr().out
        fastnn.show_config()
        assert printed == capsys.readouterr().out
        assert fastnn.__version__ in printed

    def test_it_runs_as_a_module(self):
        done = subprocess.run(
            [sys.executable, "-m", "fastnn", "--version"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"fastnn {fastnn.__version__}\n"
