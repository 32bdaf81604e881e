"""The engine: states and records in, states and decisions out. Pure, synchronous, vectorised.

One call handles one detector version. Each stream's answer depends on its own past alone: not on
the batch it shares, nor on how its records are cut into batches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

from store.rows import NewDecision, NewOutcome
from streams import explain
from streams.rounds import Arrivals, Index, Round, event_hash, first_deliveries, remember, rounds
from streams.state import Layout, Phase, Rows, fresh, layout_for, part, put

if TYPE_CHECKING:
    from detectors.detector import Detector

DECISIONS = UUID("8c0f7e0a-53b5-5a0e-9a53-7d0f2c1e4b6d")
"""Namespace of decision ids."""


class Scored(NamedTuple):
    """What one round scored, for whoever watches (calibration, evaluation)."""

    row: Index
    step: Index
    predicted: Index
    probability: NDArray[np.float32]
    readiness: NDArray[np.float64]


Watch = Callable[[Scored], None]


@dataclass(frozen=True)
class Streams:
    """The streams that a batch touches, all under one detector version."""

    stream_ids: Sequence[str]
    episodes: Sequence[str]
    """`event_id` of each episode's first record; empty where none was opened yet."""
    rows: Rows


@dataclass(frozen=True)
class Result:
    """What a batch changed."""

    streams: Streams
    decisions: list[tuple[int, NewDecision]] = field(default_factory=list)
    """With the row of the stream."""
    outcomes: list[tuple[int, NewOutcome]] = field(default_factory=list)
    n_repeats: int = 0
    """Records skipped because their event id was seen before."""
    n_steps: int = 0


class Engine:
    """One detector version, ready to score.

    Parameters
    ----------
    detector
        Classifier, signal and rule.
    shadow_share
        Share of streams that are scored to their end after the halt, in [0, 1]; None = the
        detector's own.
    """

    def __init__(self, detector: Detector, *, shadow_share: float | None = None) -> None:
        self.detector = detector
        self.layout: Layout = layout_for(detector.classifier, detector.signal, detector.horizon)
        self._share = detector.shadow_share if shadow_share is None else shadow_share

    def process(self, streams: Streams, arrivals: Arrivals, watch: Watch | None = None) -> Result:
        """Fold a batch of valid records into the states. Changes no argument."""
        rows, episodes = streams.rows.copy(), list(streams.episodes)
        kept = np.flatnonzero(first_deliveries(rows, arrivals))
        remember(rows, arrivals.row[kept], arrivals.hashes[kept])
        result = Result(
            Streams(streams.stream_ids, episodes, rows), n_repeats=len(arrivals.row) - len(kept)
        )
        batch = _Batch(self, arrivals, rows, episodes, streams.stream_ids, result, watch)
        n_steps = sum(batch.play(turn) for turn in rounds(arrivals, kept))
        return Result(result.streams, result.decisions, result.outcomes, result.n_repeats, n_steps)

    def is_shadow(self, stream_id: str, episode: str) -> bool:
        """Return whether an episode is a shadow stream: by hash, so known on arrival."""
        if not self._share:
            return False
        draw = event_hash(f"shadow\x00{self.detector.name}\x00{stream_id}\x00{episode}")
        return draw < self._share * 2.0**64


@dataclass(frozen=True)
class _Batch:
    """One call's working copy: `rows`, `episodes` and `result` belong to it and are changed."""

    engine: Engine
    arrivals: Arrivals
    rows: Rows
    episodes: list[str]
    stream_ids: Sequence[str]
    result: Result
    watch: Watch | None

    def play(self, turn: Round) -> int:
        """Apply one round; return how many steps were scored."""
        self._end(turn.row[turn.is_end], turn.record[turn.is_end])
        step = ~turn.is_end
        row, record, frame = turn.row[step], turn.record[step], turn.frame[step]
        phase = self.rows["phase"][row]
        closed = (phase == Phase.UNKNOWN) | (phase == Phase.ENDED)
        self._open(row[closed], record[closed])
        counted = phase == Phase.HALTED
        self.rows["unscored"][row[counted]] += 1
        self._score(row[~counted], record[~counted], frame[~counted])
        return int(len(row) - counted.sum())

    def _open(self, row: Index, record: Index) -> None:
        """Begin an episode; what the stream remembers of event ids goes on."""
        if not len(row):
            return
        engine = self.engine
        blank = fresh(engine.layout, len(row))
        blank["recent"], blank["n_records"] = self.rows["recent"][row], self.rows["n_records"][row]
        blank["phase"], blank["stride"] = Phase.OPEN, 1
        every = np.arange(len(row))
        put(blank, "m", engine.detector.classifier.start(len(row)), every)
        put(blank, "s", engine.detector.signal.start(len(row)), every)
        for stream, first in zip(row.tolist(), record.tolist(), strict=True):
            self.episodes[stream] = self.arrivals.event_ids[first]
        blank["shadow"] = [
            engine.is_shadow(self.stream_ids[stream], self.episodes[stream])
            for stream in row.tolist()
        ]
        self.rows[row] = blank

    def _score(self, row: Index, record: Index, frame: Index) -> None:
        if not len(row):
            return
        rows, detector, layout = self.rows, self.engine.detector, self.engine.layout
        state = part(rows, "m", layout.model_fields, row)
        state, output = detector.classifier.step(state, self.arrivals.frames[frame])
        t = rows["t"][row] + 1
        own = part(rows, "s", layout.signal_fields, row)
        own, readiness = detector.signal.update(own, output.probabilities, output.auxiliary, t)
        put(rows, "m", state, row)
        put(rows, "s", own, row)
        rows["t"][row], rows["readiness"][row] = t, readiness
        rows["probabilities"][row] = output.probabilities
        predicted = output.probabilities.argmax(axis=1)
        probability = output.probabilities[np.arange(len(row)), predicted]
        explain.add_points(layout, rows, row, predicted, probability, readiness)
        if self.watch is not None:
            self.watch(Scored(row, t.astype(np.intp), predicted, probability, readiness))
        self._halt(row, record, t, readiness)

    def _halt(
        self, row: Index, record: Index, t: NDArray[np.int32], readiness: NDArray[np.float64]
    ) -> None:
        rows, detector = self.rows, self.engine.detector
        undecided = rows["phase"][row] == Phase.OPEN
        last = t >= detector.horizon
        ready = readiness >= detector.thresholds[t - 1]
        decided = undecided & (ready | last)
        reasons = ["threshold" if is_ready else "horizon" for is_ready in ready[decided].tolist()]
        self._decide(row[decided], record[decided], reasons)
        for stream in row[last & (rows["shadow"][row] == 1)].tolist():
            self._conclude(stream)
        rows["phase"][row[decided]] = np.where(
            rows["shadow"][row[decided]] == 1, Phase.SHADOW, Phase.HALTED
        )
        rows["phase"][row[last]] = Phase.HALTED

    def _end(self, row: Index, record: Index) -> None:
        """Apply end markers; one for a stream that was never opened opens nothing."""
        phase = self.rows["phase"][row]
        undecided = phase == Phase.OPEN
        self._decide(row[undecided], record[undecided], ["end"] * int(undecided.sum()))
        scored = undecided | (phase == Phase.SHADOW)
        for stream in row[scored & (self.rows["shadow"][row] == 1)].tolist():
            self._conclude(stream)
        self.rows["phase"][row] = Phase.ENDED

    def _decide(self, row: Index, record: Index, reasons: Sequence[str]) -> None:
        """Note the decisions on some streams, each at its latest step, and why it fell."""
        if not len(row):
            return
        detector, states = self.engine.detector, self.rows[row]
        labels = states["probabilities"].argmax(axis=1).tolist()
        found = zip(
            row.tolist(),
            record.tolist(),
            reasons,
            labels,
            explain.explanations(self.engine.layout, detector, self.rows, row, labels),
            explain.trajectories(detector.classifier.classes, states, labels),
            strict=True,
        )
        for stream, *why in found:
            self.result.decisions.append((stream, self._decision(stream, *why)))

    def _decision(
        self,
        stream: int,
        record: int,
        reason: str,
        label: int,
        explanation: dict[str, Any],
        trajectory: list[dict[str, Any]],
    ) -> NewDecision:
        detector, row = self.engine.detector, self.rows[stream]
        stream_id, episode, step = self.stream_ids[stream], self.episodes[stream], int(row["t"])
        return NewDecision(
            id=decision_id(detector.name, stream_id, episode),
            detector=detector.name,
            version=detector.version,
            stream_id=stream_id,
            episode=episode,
            label=detector.classifier.classes[label],
            probability=float(row["probabilities"][label]),
            halt_step=step,
            reason=reason,
            readiness=_finite(float(row["readiness"])),
            threshold=_finite(float(detector.thresholds[step - 1])),
            shadow=bool(row["shadow"]),
            explanation=explanation,
            trajectory=trajectory,
            event_time=self.arrivals.times[record],
        )

    def _conclude(self, stream: int) -> None:
        """Note what a shadow stream answers at its end."""
        row, classes = self.rows[stream], self.engine.detector.classifier.classes
        label = int(row["probabilities"].argmax())
        outcome = NewOutcome(
            detector=self.engine.detector.name,
            stream_id=self.stream_ids[stream],
            episode=self.episodes[stream],
            late_label=classes[label],
            late_probability=float(row["probabilities"][label]),
            length=int(row["t"]),
        )
        self.result.outcomes.append((stream, outcome))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def decision_id(detector: str, stream_id: str, episode: str) -> UUID:
    """Return the id of a decision: a replay of the same records names it alike.

    >>> decision_id("pendigits", "a", "a/1") == decision_id("pendigits", "a", "a/1")
    True
    """
    return uuid5(DECISIONS, "\x00".join((detector, stream_id, episode)))
