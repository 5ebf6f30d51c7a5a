"""The installed package: its settings by environment variable, its metadata, what it brings along.

What happens once, at import, is looked at in a fresh interpreter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import metadata, requires
from importlib.resources import files

import numpy as np
import pytest

import fastnn

OPTIONAL = ("matplotlib", "onnx", "mpi4py", "pooch", "sklearn", "scipy")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter that inherits no setting of fastnn."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("FASTNN_")
    }
    return subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def printed(code: str, **environment: str) -> str:
    done = run_python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestInstructionSet:
    CODE = "import fastnn; from fastnn.native.dispatch import isa; print(isa())"

    @pytest.mark.parametrize("name", fastnn.available_isas())
    def test_it_can_be_forced(self, name):
        assert printed(self.CODE, FASTNN_ISA=name) == name

    @pytest.mark.parametrize("environment", [{}, {"FASTNN_ISA": ""}])
    def test_otherwise_it_is_the_best(self, environment):
        assert printed(self.CODE, **environment) == fastnn.available_isas()[0]

    def test_another_name_is_an_import_error_that_lists_the_names(self):
        done = run_python("import fastnn", FASTNN_ISA="abacus")
        assert done.returncode == 1
        known = ", ".join(fastnn.available_isas())
        assert done.stderr.splitlines()[-1] == (
            f"ImportError: FASTNN_ISA: instruction set must be one of {known} on this machine, "
            "got 'abacus'"
        )

    def test_the_baseline_is_always_there(self):
        assert fastnn.available_isas()[-1] == "baseline"


class TestEngine:
    CODE = (
        "import sys, fastnn\n"
        "model = fastnn.Sequential([fastnn.layers.Dense(2, input_dim=3)])\n"
        "model.predict([[1.0, 2.0, 3.0]], verbose=0)\n"
        "print('reference' if 'fastnn.reference.engine' in sys.modules else 'native')"
    )

    @pytest.mark.parametrize("name", ["native", "reference"])
    def test_it_can_be_chosen(self, name):
        assert printed(self.CODE, FASTNN_ENGINE=name) == name

    def test_otherwise_it_is_the_native_one(self):
        assert printed(self.CODE) == "native"

    def test_another_name_is_refused(self):
        done = run_python(self.CODE, FASTNN_ENGINE="abacus")
        assert done.returncode == 1
        assert "'native' or 'reference', got 'abacus'" in done.stderr.splitlines()[-1]


def test_show_config_tells_what_runs(capsys, isa):
    fastnn.show_config()
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines())
    shown = {name: value.strip() for name, value in lines.items()}
    assert shown["fastnn"] == fastnn.__version__
    assert shown["instruction set"] == isa
    assert shown["available"].split(", ") == fastnn.available_isas()
    assert int(shown["threads"]) >= 1
    assert shown["compiler"].split()[0] in ("GCC", "Clang")
    assert shown["NumPy"] == np.__version__


def test_importing_it_imports_nothing_optional_and_not_the_reference():
    names = [*OPTIONAL, "fastnn.reference"]
    code = f"import sys, fastnn; print([name for name in {names} if name in sys.modules])"
    assert printed(code) == "[]"


def test_it_warns_of_nothing_at_import():
    done = run_python("import warnings; warnings.simplefilter('error'); import fastnn")
    assert (done.returncode, done.stderr) == (0, "")


class TestMetadata:
    def test_the_version_is_that_of_the_module(self):
        assert metadata("fastnn")["Version"] == fastnn.__version__

    def test_only_numpy_and_tqdm_are_required(self):
        required = [line for line in requires("fastnn") if "extra ==" not in line]
        assert sorted(line.split(">=")[0] for line in required) == ["numpy", "tqdm"]

    def test_every_promised_extra_exists(self):
        promised = {"plot", "sklearn", "onnx", "mpi", "datasets", "test", "bench", "dev"}
        assert promised <= set(metadata("fastnn").get_all("Provides-Extra"))


class TestFiles:
    package = files("fastnn")

    def test_types_are_shipped(self):
        assert (self.package / "py.typed").is_file()

    @pytest.mark.parametrize("module", ["dispatch", "engine", "kernels"])
    def test_stubs_of_the_extension_modules_are_shipped(self, module):
        assert (self.package / "native" / f"{module}.pyi").is_file()

    def test_the_digits_are_small_and_name_their_source_and_licence(self):
        assert len((self.package / "data" / "digits.npz").read_bytes()) < 100_000
        text = (self.package / "data" / "README.md").read_text(encoding="utf-8")
        assert "Optical Recognition of Handwritten Digits" in text
        assert "CC BY 4.0" in text
