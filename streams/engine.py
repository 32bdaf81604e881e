"""The engine: states and records in, states and decisions out. Pure, synchronous, vectorised.

One call handles one detector version. Each stream's answer depends on its own past alone: not on
the batch it shares, nor on how its records are cut into batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import numpy as np

from store.rows import NewDecision, NewOutcome
from streams import explain
from streams.instants import instant
from streams.limits import Limits
from streams.results import Result, Scored, Streams, Watch
from streams.rounds import (
    Arrivals,
    Index,
    RecordClocks,
    Round,
    event_hash,
    first_deliveries,
    no_arrivals,
    remember,
    rounds,
)
from streams.state import Layout, Phase, Rows, fresh, layout_for, part, put

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from detectors.detector import Detector
    from models.inputs import Inputs

__all__ = ["Engine", "Result", "Scored", "Streams", "decision_id"]

DECISIONS = UUID("8c0f7e0a-53b5-5a0e-9a53-7d0f2c1e4b6d")
"""Namespace of decision ids."""


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
        self.limits = Limits.of(detector.config.time)
        self._share = detector.shadow_share if shadow_share is None else shadow_share

    def process(
        self,
        streams: Streams,
        arrivals: Arrivals,
        watch: Watch | None = None,
        *,
        until_end: bool = False,
    ) -> Result:
        """Fold a batch of valid records into the states. Changes no argument.

        With `until_end` no stream opens a second episode: what comes after its end is left, and
        not remembered either.
        """
        rows, episodes = streams.rows.copy(), list(streams.episodes)
        kept = np.flatnonzero(first_deliveries(rows, arrivals))
        result = Result(
            Streams(streams.stream_ids, episodes, rows), n_repeats=len(arrivals.row) - len(kept)
        )
        batch = _Batch(
            self, arrivals, rows, episodes, streams.stream_ids, result, watch,
            RecordClocks.of(rows, arrivals, kept, self.limits.refuses_late),
            np.zeros(len(arrivals.row), dtype=np.bool_) if until_end else None,
        )  # fmt: skip
        n_steps = sum(batch.play(turn) for turn in rounds(arrivals, kept))
        left = np.empty(0, dtype=np.intp)
        if batch.left is not None:
            left, kept = np.flatnonzero(batch.left), kept[~batch.left[kept]]
        remember(rows, arrivals.row[kept], arrivals.hashes[kept])
        return replace(result, n_steps=n_steps, left=left)

    def tick(self, streams: Streams, tick_s: float) -> tuple[Result, NDArray[np.bool_]]:
        """Let the clock close what it closes by `tick_s`. Changes no argument.

        Streams whose own clock is not known take this tick's. Returns which of them may be
        forgotten too, [n].
        """
        rows, episodes = streams.rows.copy(), list(streams.episodes)
        result = Result(Streams(streams.stream_ids, episodes, rows))
        nothing = no_arrivals()
        batch = _Batch(self, nothing, rows, episodes, streams.stream_ids, result, None, None, None)
        unknown = np.isnan(rows["last_s"]) & (rows["phase"] != Phase.UNKNOWN)
        rows["last_s"][unknown] = tick_s - self.limits.reorder_s
        batch.begin(np.flatnonzero(unknown))
        every = np.arange(len(rows))
        batch.judge(every, np.full(len(rows), tick_s), self.limits.reorder_s)
        return result, tick_s >= self.limits.forgotten_s(rows)

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
    clocks: RecordClocks | None
    left: NDArray[np.bool_] | None
    """[m] what was not applied; None: a stream that has ended opens a new episode."""

    def play(self, turn: Round) -> int:
        """Apply one round; return how many steps were scored."""
        if self.clocks is not None or self.left is not None:
            turn = self._admitted(turn)
        self._end(turn.row[turn.is_end], turn.record[turn.is_end])
        is_step = ~turn.is_end
        row, record, step = turn.row[is_step], turn.record[is_step], turn.step[is_step]
        phase = self.rows["phase"][row]
        closed = (phase == Phase.UNKNOWN) | (phase == Phase.ENDED)
        self._open(row[closed], record[closed])
        counted = phase == Phase.HALTED
        self.rows["unscored"][row[counted]] += 1
        self._score(row[~counted], record[~counted], step[~counted])
        return int(len(row) - counted.sum())

    def _admitted(self, turn: Round) -> Round:
        """Move the streams' clocks to their records; return what is left to apply."""
        if self.clocks is not None and self.engine.limits.any:
            self.judge(turn.row, self.clocks.latest_s[turn.record])
        if self.left is not None:
            gone = self.rows["phase"][turn.row] == Phase.ENDED
            self.left[turn.record[gone]] = True
            turn = turn.only(~gone)
        if self.clocks is None:
            return turn
        if self.clocks.refuses:
            late_s = self.clocks.late_s[turn.record]
            late = late_s > 0
            # Of a record with several items each comes by here.
            refused = zip(turn.record[late].tolist(), late_s[late].tolist(), strict=True)
            self.result.late.update(refused)
            turn = turn.only(~late)
        self.rows["last_s"][turn.row] = self.clocks.latest_s[turn.record]
        self.begin(turn.row)
        return turn

    def begin(self, row: Index) -> None:
        """Let episodes whose beginning is not known begin at their stream's clock."""
        at = row[np.isnan(self.rows["first_s"][row])]
        self.rows["first_s"][at] = self.rows["last_s"][at]

    def judge(self, row: Index, now_s: NDArray[np.float64], slack_s: float = 0.0) -> None:
        """Close what the clock closes by `now_s`, in the order in which it was due."""
        limits, timed = self.engine.limits, self._timed(row)
        halt_s, over_s = limits.decided_s(timed) + slack_s, limits.over_s(timed) + slack_s
        self._halt_at_horizon(row[(now_s >= halt_s) & ~(over_s < halt_s)])
        over = now_s >= limits.over_s(self._timed(row)) + slack_s
        phase = self.rows["phase"][row]
        self._close(row[over & (phase != Phase.UNKNOWN) & (phase != Phase.ENDED)])

    def _timed(self, row: Index) -> dict[str, NDArray[Any]]:
        return {name: self.rows[name][row] for name in ("phase", "first_s", "last_s")}

    def _halt_at_horizon(self, row: Index) -> None:
        """Decide at the clock horizon what is not decided yet; later records only count."""
        undecided = row[self.rows["phase"][row] == Phase.OPEN]
        self._decide_by_clock(undecided, "horizon")
        for stream in row[self.rows["shadow"][row] == 1].tolist():
            self._conclude(stream)
        self.rows["phase"][row] = Phase.HALTED

    def _close(self, row: Index) -> None:
        """End episodes that were silent for too long."""
        phase = self.rows["phase"][row]
        self._decide_by_clock(row[phase == Phase.OPEN], "idle")
        self._finish(row, phase)

    def _decide_by_clock(self, row: Index, reason: str) -> None:
        times = [instant(last_s) for last_s in self.rows["last_s"][row].tolist()]
        none = np.zeros(len(row), np.bool_)
        self._decide(row, times, [reason] * len(row), self._answers(row, none))

    def _open(self, row: Index, record: Index) -> None:
        """Begin an episode; what the stream remembers of event ids goes on."""
        if not len(row):
            return
        engine = self.engine
        blank = fresh(engine.layout, len(row))
        blank["recent"], blank["n_records"] = self.rows["recent"][row], self.rows["n_records"][row]
        blank["phase"], blank["stride"] = Phase.OPEN, 1
        blank["first_s"] = blank["last_s"] = self.rows["last_s"][row]
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

    def _score(self, row: Index, record: Index, step: Index) -> None:
        if not len(row):
            return
        rows, detector, layout = self.rows, self.engine.detector, self.engine.layout
        state = part(rows, "m", layout.model_fields, row)
        state, output = detector.classifier.step(state, self._inputs(row, step))
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

    def _inputs(self, row: Index, step: Index) -> Inputs:
        """Return steps to score; the clock of a stream's measurements never goes backwards."""
        inputs = self.arrivals.inputs[step]
        if self.clocks is not None and self.engine.detector.classifier.modality == "vitals":
            inputs["time_s"] = np.fmax(inputs["time_s"], self.rows["last_s"][row])
        return inputs

    def _halt(
        self, row: Index, record: Index, t: NDArray[np.int32], readiness: NDArray[np.float64]
    ) -> None:
        rows, detector = self.rows, self.engine.detector
        undecided = rows["phase"][row] == Phase.OPEN
        last = t >= detector.horizon
        ready = readiness >= detector.thresholds[t - 1]
        decided = undecided & (ready | last)
        reasons = ["threshold" if is_ready else "horizon" for is_ready in ready[decided].tolist()]
        times = self._times(record[decided])
        self._decide(row[decided], times, reasons, self._answers(row, ready)[decided])
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
        self._decide(
            row[undecided],
            self._times(record[undecided]),
            ["end"] * int(undecided.sum()),
            self._answers(row[undecided], np.zeros(int(undecided.sum()), np.bool_)),
        )
        self._finish(row, phase)

    def _finish(self, row: Index, phase: NDArray[np.uint8]) -> None:
        """Close episodes, whose phases were `phase`; a shadow stream tells its late answer."""
        scored = (phase == Phase.OPEN) | (phase == Phase.SHADOW)
        for stream in row[scored & (self.rows["shadow"][row] == 1)].tolist():
            self._conclude(stream)
        self.rows["phase"][row] = Phase.ENDED

    def _times(self, record: Index) -> list[datetime | None]:
        return [self.arrivals.times[at] for at in record.tolist()]

    def _answers(self, row: Index, ready: NDArray[np.bool_]) -> Index:
        """Return the class index that some streams are answered with at their latest step.

        The likeliest; under a one-sided rule the alarm if the stream is ready, and the likeliest
        other class if not.
        """
        probabilities, alarm = self.rows["probabilities"][row], self.engine.detector.alarm
        if alarm is not None:
            probabilities[:, alarm] = np.where(ready, np.inf, -np.inf)
        answers: Index = probabilities.argmax(axis=1)
        return answers

    def _decide(
        self,
        row: Index,
        times: Sequence[datetime | None],
        reasons: Sequence[str],
        answers: Index,
    ) -> None:
        """Note the decisions on some streams, each at its latest step, when and why it fell."""
        if not len(row):
            return
        detector, states, labels = self.engine.detector, self.rows[row], answers.tolist()
        found = zip(
            row.tolist(),
            times,
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
        time: datetime | None,
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
            event_time=time,
        )

    def _conclude(self, stream: int) -> None:
        """Note what a shadow stream answers at its end, whatever it answered before."""
        detector, row = self.engine.detector, self.rows[stream]
        classes, limit = detector.classifier.classes, detector.thresholds[int(row["t"]) - 1]
        label = int(self._answers(np.array([stream]), np.array([row["readiness"] >= limit]))[0])
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
