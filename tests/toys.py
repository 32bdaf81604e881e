"""A detector whose every number can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detectors.config import ClassifierConfig, DetectorConfig, TimeConfig
from detectors.detector import Detector
from models.frames.options import LstmOptions
from models.protocol import Contribution, Explanation, Field, StepOutput
from stopping.signals.maximum import MaximumProbability


@dataclass(frozen=True)
class SumClassifier:
    """P(high) = sigmoid of the sum of all values seen; correctness = the same of its size."""

    width: int = 2
    ballast: int = 0
    """Float32 values of state that do nothing but weigh."""
    classes = ("low", "high")
    modality = "frames"
    auxiliary = frozenset({"correctness"})

    @property
    def channels(self):
        return tuple(f"c{k}" for k in range(self.width))

    def fields(self):
        return {"total": Field("<f8"), "ballast": Field("<f4", (self.ballast,))}

    def start(self, n):
        return {"total": np.zeros(n), "ballast": np.zeros((n, self.ballast), np.float32)}

    def step(self, state, inputs):
        total = state["total"] + inputs.astype(np.float64).sum(axis=1)
        high = 1 / (1 + np.exp(-np.clip(total, -50, 50)))
        probabilities = np.stack([1 - high, high], axis=1).astype(np.float32)
        output = StepOutput(probabilities, {"correctness": probabilities.max(axis=1)})
        return {"total": total, "ballast": state["ballast"] + 1}, output

    def explain(self, state, i, label):
        total = float(state["total"][i])
        weight = total if label == 1 else -total
        return Explanation("sum of the values", (Contribution(1, weight, {"total": total}),), 0.0)

    def save(self, folder):
        (folder / "sum.json").write_text("{}")


def toy_detector(
    *, name="toy", version="v1", horizon=6, thresholds=None, width=2, shadow_share=0.0, ballast=0,
    **time,
):  # fmt: skip
    """Halts when the larger probability reaches 0.9 unless other thresholds are given.

    `time`: what `detectors.config.TimeConfig` takes.
    """
    levels = np.full(horizon, 0.9) if thresholds is None else np.array(thresholds, dtype=float)
    levels[-1] = np.inf
    return Detector(
        name=name,
        version=version,
        config=DetectorConfig(
            name, "toy", ClassifierConfig("lstm", LstmOptions()), time=TimeConfig(**time)
        ),
        classifier=SumClassifier(width, ballast),
        signal=MaximumProbability(),
        thresholds=levels,
        horizon=horizon,
        shadow_share=shadow_share,
        certificate={"alpha": 0.1, "delta": 0.05},
        card={},
    )


class FakeLedger:
    """The ledger in memory: the fast stand-in beside the real ones of the store."""

    def __init__(self):
        self.epochs, self.next, self.states, self.clocks = {}, {}, {}, {}
        self.decisions, self.outcomes, self.dead_letters, self.n_loads = {}, {}, [], 0

    def claim(self, partitions):
        from store.rows import Claim

        for p in partitions:
            self.epochs[p] = self.epochs.get(p, 0) + 1
        return {
            p: Claim(self.epochs[p], self.next.get(p, 0), self.clocks.get(p)) for p in partitions
        }

    def load(self, partition, keys):
        self.n_loads += 1
        return {k: self.states[partition, k] for k in keys if (partition, k) in self.states}

    def due(self, partition, upto_s, limit):
        found = [s for (p, _), s in self.states.items() if p == partition]
        found = [s for s in found if s.deadline_s is not None and s.deadline_s <= upto_s]
        return sorted(found, key=lambda s: s.deadline_s)[:limit]

    def earliest(self, partition):
        found = [s.deadline_s for (p, _), s in self.states.items() if p == partition]
        return min((x for x in found if x is not None), default=np.inf)

    def commit(self, commits):
        from store.rows import StateKey

        stored = set()
        for c in commits:
            if self.epochs.get(c.partition) != c.epoch:
                continue
            stored.add(c.partition)
            self.next[c.partition] = c.next_offset
            if c.clock_s is not None:
                self.clocks[c.partition] = c.clock_s
            for key in c.forgotten:
                del self.states[c.partition, key]
            for s in c.states:
                self.states[c.partition, StateKey(s.detector, s.stream_id)] = s
            for d in c.decisions:
                self.decisions.setdefault((d.detector, d.stream_id, d.episode), d)
            for o in c.outcomes:
                self.outcomes.setdefault((o.detector, o.stream_id, o.episode), o)
            self.dead_letters += [(c.partition, d) for d in c.dead_letters]
        return frozenset(stored)


class FakeLog:
    """Records by partition, as a `Fetcher`."""

    def __init__(self, n_partitions=1):
        self.rows = {p: [] for p in range(n_partitions)}

    def append(self, partition, value):
        from streams.records import RawRecord

        raw = RawRecord(partition, len(self.rows[partition]), value)
        self.rows[partition].append(raw)
        return raw

    def end(self, partition):
        return len(self.rows[partition])

    def fetch(self, partition, start, stop, limit):
        return self.rows[partition][start : min(stop, start + limit)]
