"""Score recorded streams with the serving engine, every stream a shadow.

The `detectors.scoring.Scorer` that calibration and evaluation are given.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors.scoring import Scored as ScoredStreams
from detectors.scoring import StreamSet
from streams.engine import Engine, Scored, Streams
from streams.instants import as_told, instant
from streams.reorder import in_order
from streams.rounds import Arrivals, event_hash
from streams.state import fresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from detectors.detector import Detector
    from store.rows import NewDecision, NewOutcome

CHUNK_STREAMS = 512


def score(
    detector: Detector, streams: StreamSet, advance: Callable[[int], None] | None = None
) -> ScoredStreams:
    """Return what `detector` answers to `streams`, in their order.

    Each stream is fed as it would be served: a record a step, then an end marker. What comes after
    a time-out is another episode, and left out: one stream of the set, one answer.
    """
    engine = Engine(detector, shadow_share=1.0)
    n, horizon = len(streams), detector.horizon
    found = ScoredStreams(
        readiness=np.full((n, horizon), np.nan),
        predicted=np.full((n, horizon), -1, dtype=np.int64),
        probability=np.full((n, horizon), np.nan),
        halt_step=np.zeros(n, dtype=np.int64),
        label=np.zeros(n, dtype=np.int64),
        late_label=np.zeros(n, dtype=np.int64),
        late_probability=np.zeros(n),
        length=np.zeros(n, dtype=np.int64),
        reasons=[""] * n,
        decisions=tuple({} for _ in range(n)),
    )
    bounds = [*range(0, n, CHUNK_STREAMS), n]
    for first, stop in pairwise(bounds):
        _score_chunk(engine, streams, first, stop, found)
        if advance is not None:
            advance(stop - first)
    return found


def _score_chunk(
    engine: Engine, streams: StreamSet, first: int, stop: int, found: ScoredStreams
) -> None:
    def watch(seen: Scored) -> None:
        at = (first + seen.row, seen.step - 1)
        found.readiness[at] = seen.readiness
        found.predicted[at] = seen.predicted
        found.probability[at] = seen.probability

    n = stop - first
    blank = Streams(
        [streams.stream_id(i) for i in range(first, stop)], [""] * n, fresh(engine.layout, n)
    )
    fed = arrivals(streams, first, stop, reorder_s=engine.limits.reorder_s)
    result = engine.process(blank, fed, watch, until_end=True)
    # A stream whose end marker was refused as late is closed by the clock.
    closed, _ = engine.tick(result.streams, np.inf)
    for row, decision in (*result.decisions, *closed.decisions):
        _note_decision(engine, found, first + row, decision)
    for row, outcome in (*result.outcomes, *closed.outcomes):
        _note_outcome(engine, found, first + row, outcome)


def arrivals(streams: StreamSet, first: int, stop: int, *, reorder_s: float = 0.0) -> Arrivals:
    """Return the records of streams `first` to `stop`: one a step, the last with an end marker.

    With `reorder_s` they come as they would be let go by a detector that reorders.
    """
    lengths = streams.lengths[first:stop]
    row = np.repeat(np.arange(stop - first), lengths)
    last: NDArray[np.intp] = np.cumsum(lengths) - 1
    ends = np.zeros(len(row), dtype=np.bool_)
    ends[last] = True
    ids = [
        streams.event_id(i, step)
        for i in range(first, stop)
        for step in range(1, int(lengths[i - first]) + 1)
    ]
    steps = slice(int(streams.offsets[first]), int(streams.offsets[stop]))
    times_s, inputs = _times_s(streams, steps), streams.inputs[steps]
    if streams.modality == "vitals":
        inputs = inputs.copy()
        inputs["time_s"] = times_s
    order = in_order(row, times_s, reorder_s) if reorder_s else None
    if order is not None:
        times_s, inputs, ends = times_s[order], inputs[order], ends[order]
        ids = [ids[at] for at in order.tolist()]
    return Arrivals(
        row=row,
        event_ids=ids,
        hashes=np.array([event_hash(event_id) for event_id in ids], dtype=np.uint64),
        n_steps=np.ones(len(row), dtype=np.intp),
        ends=ends,
        inputs=inputs,
        times=[instant(time_s) for time_s in times_s.tolist()],
        times_s=times_s,
    )


def _times_s(streams: StreamSet, steps: slice) -> NDArray[np.float64]:
    """Return when some steps were recorded, as their records tell it; NaN where none does."""
    if streams.times_s is not None:
        return as_told(streams.times_s[steps])
    if streams.modality == "vitals":
        return as_told(np.asarray(streams.inputs["time_s"][steps], dtype=np.float64))
    return np.full(steps.stop - steps.start, np.nan)


def _note_decision(engine: Engine, found: ScoredStreams, i: int, decision: NewDecision) -> None:
    found.halt_step[i] = decision.halt_step
    found.label[i] = engine.detector.classifier.classes.index(decision.label)
    found.reasons[i] = decision.reason
    row: dict[str, Any] = found.decisions[i]  # type: ignore[assignment]  # ours until returned
    row.update(
        id=str(decision.id),
        detector=decision.detector,
        version=decision.version,
        stream_id=decision.stream_id,
        episode=decision.episode,
        label=decision.label,
        probability=decision.probability,
        halt_step=decision.halt_step,
        reason=decision.reason,
    )


def _note_outcome(engine: Engine, found: ScoredStreams, i: int, outcome: NewOutcome) -> None:
    found.late_label[i] = engine.detector.classifier.classes.index(outcome.late_label)
    found.late_probability[i] = outcome.late_probability
    found.length[i] = outcome.length
