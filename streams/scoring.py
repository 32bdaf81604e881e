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

    Each stream is fed as it would be served: a record a step, then an end marker.
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
    result = engine.process(blank, _arrivals(streams, first, stop), watch)
    for row, decision in result.decisions:
        _note_decision(engine, found, first + row, decision)
    for row, outcome in result.outcomes:
        _note_outcome(engine, found, first + row, outcome)


def _arrivals(streams: StreamSet, first: int, stop: int) -> Arrivals:
    """Return the records of streams `first` to `stop`: one a step, the last with an end marker."""
    lengths = streams.lengths[first:stop]
    row = np.repeat(np.arange(stop - first), lengths)
    last: NDArray[np.intp] = np.cumsum(lengths) - 1
    ends = np.zeros(len(row), dtype=np.bool_)
    ends[last] = True
    ids = [
        streams.event_id(i, step)
        for i in range(first, stop)
        for step in range(1, int(streams.lengths[i]) + 1)
    ]
    steps = np.arange(streams.frames.shape[1]) < lengths[:, None]
    return Arrivals(
        row=row,
        event_ids=ids,
        hashes=np.array([event_hash(event_id) for event_id in ids], dtype=np.uint64),
        n_frames=np.ones(len(row), dtype=np.intp),
        ends=ends,
        frames=streams.frames[first:stop][steps],
        times=[None] * len(row),
    )


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
