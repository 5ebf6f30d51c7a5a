"""How many threads to use by default: what the environment says, else what the machine gives."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping

MOST_THREADS = 256

_CPUS = "/sys/devices/system/cpu"
_CGROUPS = "/sys/fs/cgroup"


def default_threads(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of threads to begin with.

    ``FASTNN_NUM_THREADS`` decides, else ``OMP_NUM_THREADS`` (the first of its numbers); else there
    is one for each core that this process may use, by its affinity mask and the limit of its
    control groups. Two hardware threads of one core share its multipliers and count once.

    Raises
    ------
    ValueError
        If ``FASTNN_NUM_THREADS`` is no whole number from 1 to 256.
    """
    own = environment.get("FASTNN_NUM_THREADS")
    if own:
        return _own_setting(own)
    shared = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    if shared.isdecimal() and int(shared) > 0:
        return min(int(shared), MOST_THREADS)
    return min(usable_cores(), cgroup_limit(), MOST_THREADS)


def _own_setting(value: str) -> int:
    if not value.strip().isdecimal() or not 1 <= int(value) <= MOST_THREADS:
        raise ValueError(
            f"FASTNN_NUM_THREADS must be a whole number from 1 to {MOST_THREADS}, got {value!r}"
        )
    return int(value)


def usable_cores() -> int:
    """Return the number of cores that the affinity mask of this process reaches."""
    if not hasattr(os, "sched_getaffinity"):
        return os.cpu_count() or 1
    processors = os.sched_getaffinity(0)
    if len(processors) == 1 or _read(f"{_CPUS}/smt/active") != "1":
        return len(processors)
    return _cores_of(processors)


def _cores_of(processors: Iterable[int]) -> int:
    """Return how many cores these processors belong to."""
    files = (f"{_CPUS}/cpu{number}/topology/thread_siblings_list" for number in processors)
    return len({_read(file) or file for file in files})


def cgroup_limit() -> int:
    """Return how many processors' time this process gets of its control groups, at most 256."""
    limits = [math.inf]
    for line in _read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2: each group and all above it
            limits += [_limit_2(_CGROUPS + part) for part in _with_parents(path)]
        elif "cpu" in controllers.split(","):
            root = f"{_CGROUPS}/{controllers}"
            limits += [_limit_1(root + part) for part in _with_parents(path)]
    return max(1, math.ceil(min(*limits, MOST_THREADS)))


def _with_parents(path: str) -> list[str]:
    """Return ``["/a/b", "/a", ""]`` for ``"/a/b"``."""
    parts = path.rstrip("/").split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _limit_2(folder: str) -> float:
    quota, _, period = _read(f"{folder}/cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdecimal() else math.inf


def _limit_1(folder: str) -> float:
    quota, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else math.inf


def _read(path: str) -> str:
    """Return what the file says, nothing if it cannot be read."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
