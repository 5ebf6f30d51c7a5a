"""Optional packages: found, missing, or broken inside."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fastnn._extras import require


def test_an_installed_module_is_returned():
    assert require("math", "plot") is math


@pytest.mark.parametrize("module", ["absent_package", "absent_package.part"])
def test_a_missing_package_is_named_with_its_extra(module):
    message = r'absent_package is needed .* pip install "fastnn\[plot\]"'
    with pytest.raises(ImportError, match=message) as caught:
        require(module, "plot")
    assert caught.value.name == "absent_package"


def test_an_error_inside_an_installed_package_is_passed_on(tmp_path: Path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import absent_dependency\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="absent_dependency"):
        require("broken_package", "plot")


def test_a_missing_part_of_an_installed_package_is_not_blamed_on_the_extra():
    with pytest.raises(ModuleNotFoundError, match=r"importlib\.absent_part"):
        require("importlib.absent_part", "plot")
