"""The machinery of the comparison itself, which has to be right before its figures are."""

from __future__ import annotations

import baseline
import contenders
import layer_jobs
import numpy as np
import pytest
import report
import timing
from cases import cases
from checks import WrongResultError, check
from crew import Crew, FailedError
from jobs import make
from results import Result, load, pooled, save
from single_layers import NOISE, TimedLayer

from fastnn import layers

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
    assert drifting.share_of("peak", "fastnn", processors=1) == pytest.approx(0.5)
    assert drifting.share_of("peak", "fastnn", processors=2) == pytest.approx(0.25)
    assert drifting.share_of("tile", "fastnn", processors=1) is None


def test_a_case_without_others_has_no_ratio():
    assert result("a", fastnn=1, peak=1).best_ratio() is None


def test_saved_runs_come_back(tmp_path):
    results = [result("a", fastnn=1, NumPy=2)]
    save(tmp_path / "run.json", MACHINE, results)
    assert load(tmp_path / "run.json") == (MACHINE, results)


def test_rounds_of_several_runs_are_pooled(tmp_path):
    first, last = tmp_path / "first.json", tmp_path / "last.json"
    save(first, {"cpu": "another"}, [result("a", fastnn=1, NumPy=2)])
    save(last, MACHINE, [result("a", fastnn=3, NumPy=4), result("b", fastnn=1)])
    machine, (a, b) = pooled([first, last])
    assert machine == MACHINE
    one, other = result("a", fastnn=1, NumPy=2), result("a", fastnn=3, NumPy=4)
    assert a.rounds == {name: one.rounds[name] + other.rounds[name] for name in one.rounds}
    assert b == result("b", fastnn=1)
    save(first, MACHINE, [result("a", fastnn=1)])
    with pytest.raises(ValueError, match="a: the runs have different contenders"):
        pooled([first, last])


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
    assert remarks == ["1 case(s) stored and not in this run, skipped: predict (1)"]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("other", [{"threads": 2}, {"isa": "other"}, {"cpu": "other"}])
def test_without_a_baseline_nothing_passes(other):
    with pytest.raises(SystemExit, match="nothing is stored"):
        baseline.compare(MACHINE | other, [result("a", fastnn=1, NumPy=2)])


@pytest.mark.usefixtures("store")
def test_each_processor_has_a_baseline():
    other = MACHINE | {"cpu": "other"}
    baseline.save(other, [result("a", fastnn=1, NumPy=1)])
    slower = [result("a", fastnn=1, NumPy=1)]
    assert baseline.compare(other, slower)[0] == []
    assert len(baseline.compare(MACHINE, slower)[0]) == 1


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


LAYERS = cases("layer forward") + cases("layer training")
NARROW = [case for case in LAYERS if case.parameters[1] <= 64]


@pytest.mark.parametrize("contender", contenders.LAYER_CLASSES)
@pytest.mark.parametrize("case", NARROW, ids=lambda case: f"{case.task} {case.name}")
def test_everyone_computes_each_layer(case, contender):
    if contender not in ("fastnn", "NumPy"):
        pytest.importorskip({"PyTorch": "torch", "JAX": "jax"}[contender])
    job = make(contender, case.task, case.parameters)  # which checks the result
    assert job.seconds(1) > 0


def test_every_layer_has_its_rows():
    kinds = {case.parameters[0] for case in LAYERS}
    own = {name for name in layers.__all__ if name[0].isupper() and name != "Shape"}
    timed_otherwise = {"Activation", "Dense"}  # by their functions, and in tasks of their own
    same_kernel = {"CategoricalEmbedding"}  # as Embedding
    nothing_to_time = {"Flatten", "Input", "Layer", "Reshape"}
    assert own - kinds == timed_otherwise | same_kernel | nothing_to_time


class Quiet(contenders.load_layer("NumPy")):
    """A contender that forgets the noise."""

    def __init__(self, layer, weights, below):
        super().__init__(TimedLayer("Rescaling", layer.features), weights, below)


@pytest.mark.parametrize("kind", NOISE)
def test_noise_that_is_none_is_refused(kind):
    with pytest.raises(WrongResultError, match="standard errors"):
        layer_jobs.check_noise("quiet", Quiet, TimedLayer(kind, 64))


@pytest.mark.parametrize("kind", ["Dropout", "AlphaDropout", "GaussianDropout"])
def test_noise_that_backward_draws_anew_is_refused(kind, monkeypatch):
    layer = contenders.load_layer("NumPy")
    network = layer(TimedLayer(kind, 64), [], None)
    backward = type(network.top).backward

    def draw_again(self, g):
        self.forward(np.ones_like(g))
        return backward(self, g)

    monkeypatch.setattr(type(network.top), "backward", draw_again)
    with pytest.raises(WrongResultError, match="standard errors"):
        layer_jobs.check_noise("drawn again", layer, TimedLayer(kind, 1024))


def test_layers_are_reported_with_the_ratio_to_each():
    rounds = {"fastnn": [1.0, 1.0], "NumPy": [4.0, 4.0], "PyTorch": [3.0, 3.0], "JAX": [2.0, 2.0]}
    line = report.line(Result("layer forward", "PReLU, 64", 0, 0, rounds), processors=1)
    assert line.endswith("ratio 2.00  ratio to NumPy 4.00  ratio to PyTorch 3.00")


@pytest.mark.usefixtures("store")
def test_layers_have_a_baseline_too():
    def trained(seconds: float) -> Result:
        rounds = {"fastnn": [seconds] * 3, "PyTorch": [8.0] * 3}
        return Result("layer training", "PReLU, 64", 0, 0, rounds)

    baseline.save(MACHINE, [trained(1)])
    fallen, _ = baseline.compare(MACHINE, [trained(2)])
    assert fallen == ["layer training: PReLU, 64: ratio 4.00, was 8.00"]


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
