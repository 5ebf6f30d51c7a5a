"""Prints, as JSON, how much memory a training takes; `footprint` runs it in a new process (Linux).

Expected are four bytes for each parameter, its gradient and the optimizer's slots, and for one
batch its inputs and, of each layer, the outputs and their gradient.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import networks
from contenders.fastnn_network import FastnnNetwork

SIZES = (1024, 2048, 2048, 10)
BATCH_SIZE = 128
ADAM_SLOTS = 2


def main() -> None:
    """Train and print the bytes that were taken, and those expected."""
    _train(networks.DIGITS)  # whatever the first training of a process loads
    weights = networks.initial_weights(SIZES)
    x, y = networks.samples(SIZES, 4 * BATCH_SIZE)
    before = _memory("VmRSS")
    network = FastnnNetwork(weights)
    _forget_peak()
    network.train(x, y, BATCH_SIZE)
    parameters = sum(w.size for w in weights)
    floats = parameters * (2 + ADAM_SLOTS) + BATCH_SIZE * (SIZES[0] + 2 * sum(SIZES[1:]))
    taken = _memory("VmHWM") - before
    figures = {"parameters": parameters, "training_bytes": taken, "expected_bytes": 4 * floats}
    json.dump(figures, sys.stdout)


def _train(sizes: networks.Sizes) -> None:
    x, y = networks.samples(sizes, 4 * BATCH_SIZE)
    FastnnNetwork(networks.initial_weights(sizes)).train(x, y, BATCH_SIZE)


def _memory(field: str) -> int:
    """Return the bytes that the process has (VmRSS) or had at most (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return 1024 * int(line.split()[1])
    raise ValueError(f"/proc/self/status has no {field}")


def _forget_peak() -> None:
    """Let VmHWM start again from what the process has now."""
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    main()
