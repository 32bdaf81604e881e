"""Measure how fast the classifier of vital signs steps, apart from everything around it.

    python -m bench.sepsis_speed [--rows 5000] [--rounds 30]

Trains the bundled detector's classifier and feeds it `--rows` streams at once, a record each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors import config as configs
from detectors import datasets
from detectors.split import divide
from detectors.train import labelled
from models import registry

if TYPE_CHECKING:
    from collections.abc import Callable


def microseconds(work: Callable[[], object], rounds: int, rows: int) -> str:
    """Return the median and the range of the time that `work` takes, per row."""
    taken = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1e6 / rows)
    return f"{statistics.median(taken):8.2f} us a row ({min(taken):.2f} to {max(taken):.2f})"


def main(arguments: list[str]) -> None:
    """Train, step, explain, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=30)
    chosen = parser.parse_args(arguments)
    config = configs.read(datasets.BUNDLED / "sepsis.toml")
    parts = divide(datasets.load(config.dataset), config.seed)
    began, cpu = time.perf_counter(), time.process_time()
    model: Any = registry.train(
        "trees", labelled(parts.fit), labelled(parts.tuning), config.classifier.options,
        horizon=config.horizon or 1,
    )  # fmt: skip
    took = time.perf_counter() - began, time.process_time() - cpu
    print(f"training: {took[0]:.1f} s, {took[1]:.1f} s of processor time")
    trees = model.weights.trees.feature
    print(f"{len(trees)} trees of up to {(trees.shape[1] + 1) // 2} leaves")

    streams, step = np.arange(chosen.rows) % len(parts.fit), 5
    starts, lengths = parts.fit.offsets[streams], parts.fit.lengths[streams]
    state = model.start(chosen.rows)
    for at in range(step):
        state, _ = model.step(state, parts.fit.inputs[starts + np.minimum(at, lengths - 1)])
    records = parts.fit.inputs[starts + np.minimum(step, lengths - 1)]
    print(f"state: {sum(array.nbytes for array in model.start(1).values())} bytes a stream")
    print("step:   ", microseconds(lambda: model.step(state, records), chosen.rounds, chosen.rows))
    print(
        "one row:",
        microseconds(lambda: model.explain(state, 0, 1), chosen.rounds, 1),
        "to explain",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
