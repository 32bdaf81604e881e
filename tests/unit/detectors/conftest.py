"""A small data set, a scorer that is a plain loop, and a detector trained with both."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from detectors import config as configs
from detectors import datasets
from detectors.scoring import Scored
from detectors.train import train

STEPS = 6
TOY = {
    "name": "toy",
    "dataset": "toy",
    "horizon": STEPS,
    "classifier": {"kind": "lstm", "hidden": 6, "epochs": 12, "batch": 32, "learning_rate": 0.03},
    "rule": {"alpha": 0.1, "delta": 0.05},
}


def arrays(n=400, seed=0, part="train", steps=STEPS):
    """Two classes told apart by where the only channel goes; lengths differ."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, n)
    lengths = random.integers(3, steps + 1, n)
    series = random.normal(0, 1, (n, 1, steps)).astype(np.float32)
    series += (labels[:, None, None] - 0.5) * np.arange(steps)
    series[np.arange(steps) >= lengths[:, None, None]] = np.nan
    return {
        f"X_{part}": series.astype(np.float32),
        f"y_{part}": labels,
        f"lengths_{part}": lengths.astype(np.int32),
    }


def everything():
    return {
        "classes": np.array(["down", "up"]),
        "channels": np.array(["x"]),
        **arrays(400, 0, "train"),
        **arrays(200, 1, "calibration"),
        **arrays(100, 2, "test"),
    }


def literal_scorer(detector, streams, advance=None):
    """Answer streams one by one, step by step: what the engine does, said as plainly as can be."""
    n, horizon = len(streams), detector.horizon
    readiness, probability = np.full((n, horizon), np.nan), np.full((n, horizon), np.nan)
    predicted = np.full((n, horizon), -1)
    length = np.minimum(streams.lengths, horizon)
    halts, reasons = [], []
    for i in range(n):
        model, memory = detector.classifier.start(1), detector.signal.start(1)
        halt, reason = None, None
        for t in range(1, length[i] + 1):
            at = int(streams.offsets[i]) + t - 1
            model, output = detector.classifier.step(model, streams.inputs[at : at + 1])
            memory, ready = detector.signal.update(
                memory, output.probabilities, output.auxiliary, np.array([t])
            )
            readiness[i, t - 1] = ready[0]
            predicted[i, t - 1] = output.probabilities[0].argmax()
            probability[i, t - 1] = output.probabilities[0].max()
            if halt is None and ready[0] >= detector.thresholds[t - 1]:
                halt, reason = t, "threshold"
        if halt is None:
            halt, reason = length[i], "horizon" if length[i] == horizon else "end"
        halts.append(halt)
        reasons.append(reason)
        if advance is not None:
            advance(1)
    rows, halt_step = np.arange(n), np.array(halts, dtype=np.int64)
    return Scored(
        readiness=readiness, predicted=predicted, probability=probability, halt_step=halt_step,
        label=predicted[rows, halt_step - 1], late_label=predicted[rows, length - 1],
        late_probability=probability[rows, length - 1], length=length, reasons=reasons,
        decisions=tuple({"stream_id": streams.stream_id(i)} for i in range(n)),
    )  # fmt: skip


@contextmanager
def silent(_title, _total):
    yield lambda _n: None


@pytest.fixture
def data_dir(tmp_path):
    """A folder of data sets with the set ``toy`` in it."""
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    np.savez_compressed(folder / "toy.npz", **everything())
    return tmp_path / "data"


@pytest.fixture(scope="session")
def toy_run(tmp_path_factory):
    """A finished training run on the set ``toy``."""
    folder = tmp_path_factory.mktemp("toy") / "toy"
    folder.mkdir()
    np.savez_compressed(folder / "toy.npz", **everything())
    return train(
        configs.build(**TOY), datasets.load(str(folder)), literal_scorer,
        made_on="2026-11-22", progress=silent,
    )  # fmt: skip


@pytest.fixture
def detector(toy_run):
    return toy_run.detector
