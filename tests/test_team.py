"""The team of threads: the same bits for any number, and no trouble with forks and pools."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastnn
from fastnn import Sequential, _threads, kernels
from fastnn.layers import Dense, Dropout
from fastnn.native.team import Pace

COUNTS = [2, 3, 7]


# How many


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"FASTNN_NUM_THREADS": "3"}, 3),
        ({"FASTNN_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, 3),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"OMP_NUM_THREADS": "1000"}, 256),
    ],
)
def test_the_environment_decides(environment, expected):
    assert _threads.default_threads(environment) == expected


@pytest.mark.parametrize("environment", [{}, {"OMP_NUM_THREADS": "many"}, {"OMP_NUM_THREADS": "0"}])
def test_without_it_the_usable_cores_do(environment, monkeypatch):
    monkeypatch.setattr(_threads, "usable_cores", lambda: 6)
    monkeypatch.setattr(_threads, "cgroup_limit", lambda: 4)
    assert _threads.default_threads(environment) == 4


@pytest.mark.parametrize("value", ["0", "257", "two", "-1", "1.5"])
def test_a_wrong_setting_is_refused(value):
    with pytest.raises(ValueError, match=r"FASTNN_NUM_THREADS must be .* from 1 to 256, got"):
        _threads.default_threads({"FASTNN_NUM_THREADS": value})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_affinity_counts():
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "import fastnn; print(fastnn.get_num_threads())"
    )
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    assert run_python(code, environment).strip() == "1"


def fake_files(monkeypatch, files):
    monkeypatch.setattr(_threads, "_read", lambda path: files.get(str(path), ""))


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 256),
        ({"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/b/cpu.max": "max 100000"}, 256),
        ({"/proc/self/cgroup": "0::/a/b", "/sys/fs/cgroup/a/cpu.max": "250000 100000"}, 3),
        ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        (
            {
                "/proc/self/cgroup": "4:cpu,cpuacct:/job\n1:name=systemd:/",
                "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "200000",
                "/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            {
                "/proc/self/cgroup": "4:cpu:/job",
                "/sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "-1",
                "/sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
            },
            256,
        ),
    ],
)
def test_control_groups_count(files, expected, monkeypatch):
    fake_files(monkeypatch, files)
    assert _threads.cgroup_limit() == expected


def test_hardware_threads_of_a_core_count_once(monkeypatch):
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    files = {topology.format(i): f"{i % 2},{i % 2 + 2}" for i in range(4)}
    fake_files(monkeypatch, files | {"/sys/devices/system/cpu/smt/active": "1"})
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    assert _threads.usable_cores() == 2
    fake_files(monkeypatch, {"/sys/devices/system/cpu/smt/active": "0"})
    assert _threads.usable_cores() == 4


def test_set_and_use():
    fastnn.set_num_threads(5)
    assert fastnn.get_num_threads() == 5
    with fastnn.use_threads(2):
        assert fastnn.get_num_threads() == 2
        with fastnn.use_threads(9):  # not more than the process may
            assert fastnn.get_num_threads() == 5
        seen = []
        other = threading.Thread(target=lambda: seen.append(fastnn.get_num_threads()))
        other.start()
        other.join()
        assert seen == [5]
        assert fastnn.get_num_threads() == 2
    assert fastnn.get_num_threads() == 5
    assert fastnn._config.config()["threads"] == 5


@pytest.mark.parametrize("function", [fastnn.set_num_threads, fastnn.use_threads])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (257, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_wrong_numbers_are_refused(function, value, error):
    with pytest.raises(error, match="the number of threads must"), contextlib.ExitStack() as stack:
        stack.enter_context(function(value))


# The same bits


def trained(threads, dtype, batch_size):
    """Return everything that comes of a training and of predictions with so many threads."""
    fastnn.set_num_threads(threads)
    fastnn.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1501, 200)), rng.integers(0, 10, 1501)
    layers = [
        Dense(300, "gelu", input_dim=200, kernel_regularizer="l2"),
        Dropout(0.2),
        Dense(150, "relu"),
        Dense(600, "tanh"),
        Dense(10, "softmax"),
    ]
    model = Sequential(layers, dtype=dtype, engine="native")
    optimizer = fastnn.optimizers.Adam(global_clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    weight = rng.uniform(0, 2, 1501)
    history = model.fit(x, y, batch_size, epochs=2, sample_weight=weight, verbose=0)
    outputs = [model.predict(x[:n]) for n in (1, 2, 3, 4, 31, 97, 1501)]
    return [*model.get_weights(), *outputs, *map(np.array, history.history.values())]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [7, 100, 1000])
def test_models_do_not_depend_on_the_number_of_threads(isa, dtype, batch_size):
    expected = trained(1, dtype, batch_size)
    for threads in COUNTS:
        for got, wanted in zip(trained(threads, dtype, batch_size), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def trained_wide(threads, dtype):
    """Return the weights of a network so wide that the operands of its gradients are copied."""
    fastnn.set_num_threads(threads)
    fastnn.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 521)), rng.integers(0, 10, 1500)
    layers = [Dense(1030, "relu", input_dim=521), Dense(515, "relu"), Dense(10, "softmax")]
    model = Sequential(layers, dtype=dtype, engine="native")
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, 650, epochs=1, verbose=0)  # the last batch has 200 rows
    return model.get_weights()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_wide_models_do_not_depend_on_the_number_of_threads(isa, dtype):
    expected = trained_wide(1, dtype)
    for threads in COUNTS:
        for got, wanted in zip(trained_wide(threads, dtype), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("units", [64, 521])
def test_long_predictions_do_not_depend_on_the_number_of_threads(isa, units):
    """Whose rows are shared out in many parts, in the end among fewer threads than are there."""
    layers = [Dense(units, "relu", input_dim=97), Dense(10, "softmax")]
    model = Sequential(layers, engine="native")
    x = np.random.default_rng(0).normal(size=(12_001, 97)).astype(np.float32)
    fastnn.set_num_threads(1)
    expected = model(x)
    for threads in (*COUNTS, 2):
        fastnn.set_num_threads(threads)
        for _ in range(3):
            np.testing.assert_array_equal(model(x), expected)


@pytest.mark.parametrize("rows", [150, 256, 300])
def test_short_predictions_in_a_row_do_not_depend_on_the_number_of_threads(rows):
    """From the third on a second thread is awake, unless the machine is slow."""
    model = Sequential([Dense(64, "relu", input_dim=64), Dense(10, "softmax")], engine="native")
    x = np.random.default_rng(0).normal(size=(rows, 64)).astype(np.float32)
    fastnn.set_num_threads(1)
    expected = model(x)
    for threads in COUNTS:
        fastnn.set_num_threads(threads)
        for _ in range(50):
            np.testing.assert_array_equal(model(x), expected)


def kernel_results(threads, rows, dtype):
    """Return the results of all shared kernels, with inputs large enough to be shared."""
    fastnn.set_num_threads(threads)
    rng = np.random.default_rng(rows)
    x, w = rng.normal(size=(rows, 260)).astype(dtype), rng.normal(size=(260, 333)).astype(dtype)
    b, labels = rng.normal(size=333).astype(dtype), rng.integers(0, 333, rows).astype(np.int32)
    y = kernels.dense_forward(x, w, b, "elu")
    results = [y, *kernels.dense_backward(y, x, w, b, "elu")]
    results += [kernels.activation_forward(x, "silu"), kernels.dropout(x, 0.3, 5, 6)]
    results += [kernels.loss_backward(labels, y, "sparse_categorical_crossentropy")]
    m, v = np.zeros_like(w), np.zeros_like(w)
    kernels.adam(w, results[2], m, v, learning_rate=0.1, step=1)
    return [*results, w, m, v]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [1, 3, 4, 13, 100, 1000, 3001])
def test_kernels_do_not_depend_on_the_number_of_threads(isa, rows, dtype):
    expected = kernel_results(1, rows, dtype)
    for threads in COUNTS:
        for got, wanted in zip(kernel_results(threads, rows, dtype), expected, strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_a_product_may_have_more_parts_than_a_region_has_tasks():
    code = """
import numpy as np, fastnn
rng = np.random.default_rng(0)
x, w = rng.normal(size=(16384, 1024)), rng.normal(size=(1024, 2240))
x, w = x.astype(np.float32), w.astype(np.float32)
fastnn.set_num_threads(1)
expected = fastnn.kernels.dense_forward(x, w)
fastnn.set_num_threads(256)
print(np.array_equal(fastnn.kernels.dense_forward(x, w), expected))
"""
    assert run_python(code).strip() == "True"


def test_rows_of_a_batch_do_not_depend_on_where_they_stand():
    model = Sequential([Dense(100, "relu", input_dim=50), Dense(9)])
    x = np.random.default_rng(0).normal(size=(500, 50)).astype(np.float32)
    whole = model.predict(x)
    for start, stop in [(0, 4), (17, 300), (96, 200), (450, 500)]:
        np.testing.assert_array_equal(model.predict(x[start:stop]), whole[start:stop])


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no list of threads here")
def test_there_really_are_several():
    code = """
import os, numpy as np, fastnn
before = len(os.listdir("/proc/self/task"))
fastnn.set_num_threads(4)
x = np.ones((300, 300))
fastnn.kernels.dense_forward(x, x)
print(len(os.listdir("/proc/self/task")) - before)
fastnn.set_num_threads(2)
fastnn.kernels.dense_forward(x, x)
print(len(os.listdir("/proc/self/task")) - before)
"""
    assert run_python(code).split() == ["3", "3"]


# Forks, processes and pools

PREAMBLE = """
import multiprocessing, os, sys
import numpy as np
import fastnn
from fastnn import Sequential
from fastnn.layers import Dense

fastnn.set_num_threads(2)
X = np.random.default_rng(0).normal(size=(600, 100)).astype(np.float32)
Y = (X[:, :50].sum(axis=1) > 0).astype(int)

def train(seed):
    fastnn.set_num_threads(2)
    fastnn.utils.set_random_seed(seed)
    model = Sequential([Dense(256, "relu", input_dim=100), Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, batch_size=100, epochs=2, verbose=0)
    return model.predict(X)
"""


def run_python(code, environment=None):
    """Return what a fresh interpreter prints; a hang fails."""
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_after_a_parallel_fit_trains():
    code = """
expected = train(1)
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(train(1), expected) else 3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert np.array_equal(train(1), expected)
print("done")
"""
    assert run_python(PREAMBLE + code).strip() == "done"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(method, tmp_path):
    script = tmp_path / "script.py"
    code = f"""
if __name__ == "__main__":
    expected = [train(seed) for seed in range(4)]
    with multiprocessing.get_context("{method}").Pool(2) as pool:
        for got, wanted in zip(pool.map(train, range(4)), expected):
            assert np.array_equal(got, wanted)
    print("done")
"""
    script.write_text(PREAMBLE + code)
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.stdout.strip() == "done", finished.stderr


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_joblib(backend):
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_backend(backend, n_jobs=2):
        results = joblib.Parallel()(joblib.delayed(predicted)(seed) for seed in range(4))
    for seed, result in enumerate(results):
        np.testing.assert_array_equal(result, predicted(seed))


def predicted(seed):
    """Return predictions of a network with weights of this seed, on two threads."""
    fastnn.set_num_threads(2)
    rng = np.random.default_rng(seed)
    model = Sequential([Dense(256, "relu", input_dim=100), Dense(20)])
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model.predict(rng.normal(size=(1000, 100)))


def test_threads_that_share_the_team_get_the_same_bits():
    fastnn.set_num_threads(3)
    expected = [predicted(seed) for seed in range(6)]
    results = [None] * 6

    def work(seed):
        for _ in range(10):
            results[seed] = predicted(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for got, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


class Steps:
    """Steps that take so many seconds with the team and on one thread, by a clock of their own."""

    def __init__(self):
        self.pace = Pace()
        self.now = 100.0
        self.pace.begin(self.now)

    def share_alone(self, steps, together, alone):
        """Take so many steps; return the share of them that the pace left on one thread."""
        count = 0
        for _ in range(steps):
            count += self.pace.alone
            self.now += alone if self.pace.alone else together
            self.pace.end_step(self.now)
        return count / steps


@pytest.mark.parametrize("step", [4e-6, 2e-4, 5e-3])
def test_the_pace_finds_the_faster_way(step):
    enough = max(round(0.1 / step), 1000)
    assert Steps().share_alone(enough, together=step, alone=1.5 * step) < 0.05
    assert Steps().share_alone(enough, together=1.5 * step, alone=step) > 0.9


@pytest.mark.parametrize("step", [4e-6, 2e-4, 5e-3])
def test_the_pace_follows_when_the_other_way_becomes_faster(step):
    steps, many = Steps(), max(round(0.1 / step), 1000)
    steps.share_alone(many, together=step, alone=1.5 * step)
    steps.share_alone(many, together=3 * step, alone=1.5 * step)
    assert steps.share_alone(many, together=3 * step, alone=1.5 * step) > 0.9
    steps.share_alone(2 * many, together=step, alone=1.5 * step)
    assert steps.share_alone(many, together=step, alone=1.5 * step) < 0.05


@pytest.mark.parametrize("together", [4e-3, 1.5e-2, 2.5e-2, 0.1])
def test_the_pace_finds_the_faster_way_where_few_steps_come_at_a_time(together):
    """A run of steps ends when its budget of time is over, and much may happen before the next."""
    steps, count, total = Steps(), 0.0, 0
    while steps.now < 200.0:
        steps.now += 2e-4
        steps.pace.begin(steps.now)
        end = steps.now + 0.05
        while steps.now < end:
            count += steps.share_alone(1, together, alone=2.1 * together)
            total += 1
    assert count / total < 0.05


@pytest.mark.parametrize("often", [17, 47, 48, 100])
def test_the_pace_overlooks_single_slow_steps(often):
    """Such as the first with the team again, and some others."""
    steps, was_alone, count = Steps(), False, 0.0
    for i in range(5000):
        slow = i % often == 0 or (was_alone and not steps.pace.alone)
        was_alone = steps.pace.alone
        count += steps.share_alone(1, together=1e-2 if slow else 1e-3, alone=1.9e-3)
    assert count / 5000 < 0.1


@pytest.mark.parametrize("step", [2e-4, 1e-3, 5e-3])
def test_the_pace_gives_up_a_trial_after_a_step_that_is_much_too_slow(step):
    steps, trials = Steps(), 0
    for _ in range(1000):
        alone = steps.share_alone(1, together=step, alone=1.8 * step)
        trials += alone
        assert not (alone and steps.pace.alone)
    assert trials > 3


def test_the_pace_does_not_give_up_a_trial_that_begins_a_little_slow():
    steps = Steps()
    while not steps.pace.alone:
        steps.share_alone(1, together=1e-3, alone=1e-3)
    steps.share_alone(1, together=1e-3, alone=1.2e-3)
    assert steps.share_alone(100, together=1e-3, alone=8e-4) > 0.9


def test_the_pace_gives_up_a_trial_that_does_not_come_to_its_end():
    steps = Steps()
    while not steps.pace.alone:
        steps.share_alone(1, together=1e-3, alone=2e-3)
    count = 0.0
    for _ in range(100):
        steps.now += 1.0
        steps.pace.begin(steps.now)
        count += steps.share_alone(1, together=1e-3, alone=1.9e-3)
    assert count < 10


def test_the_pace_does_not_count_pauses_nor_the_slow_steps_after_them():
    steps, count = Steps(), 0.0
    for _ in range(100):
        steps.now += 1.0
        steps.pace.begin(steps.now)
        count += steps.share_alone(1, together=2e-3, alone=1e-3)
        count += 9 * steps.share_alone(9, together=1e-3, alone=1.5e-3)
    assert count < 100
