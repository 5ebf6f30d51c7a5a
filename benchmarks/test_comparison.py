"""The machinery of the comparison itself, which has to be right before its figures are."""

from __future__ import annotations

import baseline
import numpy as np
import pytest
import timing
from checks import WrongResultError, check
from crew import Crew, FailedError
from results import Result, load, save

MACHINE = {"isa": "avx2", "threads": 1, "cpu": "some", "blas": "some"}


def result(case: str, **seconds: float) -> Result:
    """Return a result of three rounds, in which the clock drifts by a factor of two."""
    rounds = {name: [time, 1.5 * time, 2 * time] for name, time in seconds.items()}
    return Result("predict", case, 1000, 0, rounds)


def test_ratios_and_shares_are_taken_within_rounds():
    rounds = {"fastnn": [1, 2, 4], "NumPy": [2, 4, 8], "peak": [0.005, 0.01, 0.02]}
    drifting = Result("kernels", "a", flops=100, moved=0, rounds=rounds)
    assert drifting.best_rival() == "NumPy"
    assert drifting.best_ratio() == 2
    assert drifting.share_of_peak("fastnn", processors=1) == pytest.approx(0.5)
    assert drifting.share_of_peak("fastnn", processors=2) == pytest.approx(0.25)


def test_a_case_without_others_has_no_ratio():
    assert result("a", fastnn=1, peak=1).best_ratio() is None


def test_saved_runs_come_back(tmp_path):
    results = [result("a", fastnn=1, NumPy=2)]
    save(tmp_path / "run.json", MACHINE, results)
    assert load(tmp_path / "run.json") == (MACHINE, results)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A baseline with a ratio of 2 to NumPy and of 4 to JAX in two cases."""
    monkeypatch.setattr(baseline, "STORE", tmp_path / "baseline.json")
    baseline.save(MACHINE, [result(case, fastnn=1, NumPy=2, JAX=4) for case in "ab"])


@pytest.mark.usefixtures("store")
def test_a_ratio_may_fall_by_the_tolerance_and_no_further():
    near, below = result("a", fastnn=1.1, NumPy=2), result("b", fastnn=1.25, NumPy=2)
    fallen, remarks = baseline.compare(MACHINE, [near, below])
    assert fallen == ["predict: b: ratio 1.60, was 2.00"]
    assert remarks == []


@pytest.mark.usefixtures("store")
def test_only_those_in_both_are_compared():
    fallen, remarks = baseline.compare(MACHINE, [result("a", fastnn=1, JAX=4, Keras=0.1)])
    assert fallen == []
    assert remarks == ["1 case(s) stored and not in this run, skipped: predict: b"]


@pytest.mark.usefixtures("store")
def test_without_a_baseline_nothing_passes():
    with pytest.raises(SystemExit, match="nothing is stored"):
        baseline.compare(MACHINE | {"threads": 2}, [result("a", fastnn=1, NumPy=2)])


@pytest.mark.parametrize("error", [2.0, np.nan])
def test_wrong_results_are_refused(error):
    with pytest.raises(WrongResultError):
        check("something", error, 1.0)


def test_the_fastest_is_found():
    def slow(count: int) -> float:
        return sum(i * i for i in range(100 * count))

    def fast(count: int) -> float:
        return count

    assert timing.fastest([slow, fast, slow], 100) is fast


def test_workers_work_until_they_are_dismissed():
    with Crew() as crew:
        member = crew.member("fastnn")
        member.ask("make", "elementwise", ("tanh", "float32", 100), 1e-4)
        assert 0 < member.time() < 1
        assert crew.present(["fastnn"]) == [member]
    assert member.process.poll() is not None


def test_a_worker_reports_what_breaks_it():
    with Crew() as crew, pytest.raises(FailedError, match="KeyError"):
        crew.member("fastnn").ask("make", "unknown task", (), 1e-4)


def test_those_who_cannot_take_part_are_named(monkeypatch, capsys):
    monkeypatch.setenv("CC", "no-such-compiler")
    with Crew() as crew:
        assert crew.present(["peak"]) == []
    assert "peak is left out" in capsys.readouterr().out
