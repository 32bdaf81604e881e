"""What `bench.path` sends along the path: the records, and the two detectors that read them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.config import ClassifierConfig, DetectorConfig
from detectors.detector import Detector
from models.frames.lstm import LstmClassifier
from models.frames.lstm_weights import LstmDescription, LstmWeights, shapes
from models.frames.options import LstmOptions
from models.protocol import Contribution, Explanation, Field, StepOutput
from stopping.signals.correctness import Correctness
from stopping.signals.maximum import MaximumProbability
from streams.codec import encode
from streams.records import Event, RawRecord

if TYPE_CHECKING:
    from pathlib import Path

    from models.inputs import Inputs, Modality
    from models.protocol import Classifier, State
    from stopping.signals.protocol import Signal

STEPS = 20
"""Records of each stream; the horizon, so that every stream is decided with its last one."""
PARTITIONS = 8
TOPIC_ID = "bench"


def events(n_streams: int, seed: int = 0) -> list[tuple[int, Event]]:
    """Return (partition, record) of all streams, in the order in which they come.

    All streams are under way all the time; which one speaks next is drawn at random.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(np.repeat(np.arange(n_streams), STEPS)).tolist()
    frames = random.normal(size=(len(order), 2)).round(3).tolist()
    seen = [0] * n_streams
    found = []
    for stream, frame in zip(order, frames, strict=True):
        seen[stream] += 1
        name = f"stream-{stream:06d}"
        event = Event(name, event_id=f"{name}/{seen[stream]}", frames=[frame])
        found.append((stream % PARTITIONS, event))
    return found


def raw_records(n_streams: int) -> dict[int, list[RawRecord]]:
    """Return the records as a topic would hold them, by partition."""
    found: dict[int, list[RawRecord]] = {partition: [] for partition in range(PARTITIONS)}
    for partition, event in events(n_streams):
        rows = found[partition]
        rows.append(RawRecord(partition, len(rows), encode(event)))
    return found


@dataclass(frozen=True)
class RunningSum:
    """The trivial classifier: a sum, and float32 values that do nothing but weigh."""

    ballast: int = 0
    classes = ("low", "high")
    channels = ("x", "y")
    modality: Modality = "frames"
    auxiliary: frozenset[str] = frozenset()

    def fields(self) -> dict[str, Field]:
        """Return the sum and the ballast."""
        return {"total": Field("<f4"), "ballast": Field("<f4", (self.ballast,))}

    def start(self, n: int) -> State:
        """Return zeros."""
        return {"total": np.zeros(n, np.float32), "ballast": np.zeros((n, self.ballast), "<f4")}

    def step(self, state: State, inputs: Inputs) -> tuple[State, StepOutput]:
        """Add the frame's values; P(high) is the logistic function of the sum."""
        total = state["total"] + inputs.sum(axis=1)
        half = np.tanh(total * np.float32(0.5)) * np.float32(0.5)
        probabilities = np.stack((np.float32(0.5) - half, np.float32(0.5) + half), axis=1)
        return {"total": total, "ballast": state["ballast"]}, StepOutput(probabilities)

    def explain(self, state: State, i: int, label: int) -> Explanation:
        """Name the sum."""
        total = float(state["total"][i])
        weight = total if label == 1 else -total
        return Explanation("sum of the values", (Contribution(STEPS, weight, {"total": total}),))

    def save(self, folder: Path) -> None:
        """Have nothing to save: the benchmark makes it anew."""


def lstm(hidden: int = 32, n_classes: int = 10) -> LstmClassifier:
    """Return an LSTM with random weights: it costs what a trained one costs."""
    random = np.random.default_rng(0)
    description = LstmDescription(
        classes=tuple(str(k) for k in range(n_classes)),
        channels=("x", "y"),
        hidden=hidden,
        horizon=STEPS,
    )
    arrays: dict[str, Any] = {
        name: random.normal(scale=0.5, size=shape).astype(dtype)
        for name, (dtype, shape) in shapes(description).items()
    }
    arrays["input_scale"] = np.ones(2, np.float32)
    return LstmClassifier(description, LstmWeights(**arrays))


def detector(kind: str) -> Detector:
    """Return the detector named ``sum`` or ``lstm``; it never stops before the horizon."""
    classifier: Classifier = lstm() if kind == "lstm" else RunningSum()
    signal: Signal = Correctness() if kind == "lstm" else MaximumProbability()
    return Detector(
        name=f"bench-{kind}",
        version="1",
        config=DetectorConfig(f"bench-{kind}", "none", ClassifierConfig("lstm", LstmOptions())),
        classifier=classifier,
        signal=signal,
        thresholds=np.full(STEPS, np.inf),
        horizon=STEPS,
        shadow_share=0.0,
        certificate={},
        card={},
    )
