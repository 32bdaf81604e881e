"""Recorded streams as live events: interleaved, in order within each stream, repeatable."""

from __future__ import annotations

from math import floor, isfinite
from typing import TYPE_CHECKING

import numpy as np

from streams.instants import instant
from streams.records import Event
from streams.rounds import latest_times

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from numpy.typing import NDArray

    from detectors.scoring import StreamSet

TICKS = 200
"""A replay by recorded times has about so many: their rhythm changes no decision."""
LEAST_TICK_S = 10.0


def events(
    streams: StreamSet, detector: str | None = None, *, seed: int = 0, concurrent: int = 200
) -> Iterator[Event]:
    """Yield the records of recorded streams as if `concurrent` of them were under way at a time.

    One record a step; the last one of a stream carries its end marker. Which stream speaks next
    is drawn with `seed`, so the same call gives the same records in the same order.

    Parameters
    ----------
    streams
        One part of a data set.
    detector
        Name to put into the records; None leaves them to every detector of the topic.
    seed
        Of the order.
    concurrent
        Streams under way at the same time, at least 1.
    """
    random = np.random.default_rng(seed)
    lengths = streams.lengths.tolist()
    waiting = iter(random.permutation(len(streams)).tolist())
    active = [(i, 1) for _, i in zip(range(concurrent), waiting, strict=False)]
    while active:
        at = int(random.integers(len(active)))
        i, step = active[at]
        last = step >= lengths[i]
        yield event(streams, i, step, detector, end=last)
        if not last:
            active[at] = (i, step + 1)
            continue
        following = next(waiting, None)
        if following is None:
            active[at] = active[-1]
            active.pop()
        else:
            active[at] = (following, 1)


def has_times(streams: StreamSet) -> bool:
    """Return whether the set says when its steps were recorded."""
    return streams.times_s is not None or streams.modality == "vitals"


def recorded(
    streams: StreamSet, detector: str | None = None, *, settle_s: float = 0.0
) -> Iterator[Event | datetime]:
    """Yield the records of recorded streams in the order of their times, and ticks among them.

    A tick (a datetime) comes before the first record that is not older than it, and one after
    all. So whoever reads this decides as was decided when it was recorded.

    Parameters
    ----------
    streams, detector
        As `events`; the set must have times.
    settle_s
        How much later than the last record the last tick is: `reorder_s` of the detector, so
        that no record is left waiting.
    """
    times_s = streams.inputs["time_s"] if streams.times_s is None else streams.times_s
    lengths = streams.lengths
    i = np.repeat(np.arange(len(streams)), lengths)
    step = np.arange(len(i)) - streams.offsets[i] + 1
    # A record that was taken earlier than the one before it came after it all the same.
    came_s = _never_back(np.asarray(times_s, dtype=np.float64), streams.offsets)
    order = np.lexsort((step, i, came_s))
    grain_s = max(LEAST_TICK_S, float(np.ptp(came_s)) / TICKS) if len(came_s) else LEAST_TICK_S
    told_s = -np.inf
    for at in order.tolist():
        due_s = floor(came_s[at] / grain_s) * grain_s
        if due_s > told_s:
            told_s = due_s
            yield _moment(told_s)
        which, nth = int(i[at]), int(step[at])
        yield event(streams, which, nth, detector, end=nth == int(lengths[which]))
    if len(came_s):
        yield _moment(float(came_s.max()) + settle_s)


def _never_back(times_s: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the latest time so far of each stream; one that is not known counts as the last."""
    row = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    _, latest = latest_times(np.full(len(offsets) - 1, np.nan), row, times_s)
    first = float(np.nanmin(times_s)) if np.isfinite(times_s).any() else 0.0
    return np.where(np.isnan(latest), first, latest)


def _moment(time_s: float) -> datetime:
    moment = instant(time_s)
    assert moment is not None  # noqa: S101  # it is finite
    return moment


def event(
    streams: StreamSet, i: int, step: int, detector: str | None = None, *, end: bool = False
) -> Event:
    """Return the record of one step of a recorded stream, with its recorded time if it has one.

    Parameters
    ----------
    streams
        One part of a data set.
    i, step
        Which stream, from 0, and which of its steps, from 1.
    detector
        Name to put into the record.
    end
        Whether the stream ends with it.
    """
    nth = int(streams.offsets[i]) + step - 1
    row = streams.inputs[nth]
    made = Event(
        stream_id=streams.stream_id(i),
        event_id=streams.event_id(i, step),
        detector=detector,
        time=None if streams.times_s is None else instant(float(streams.times_s[nth])),
        end=end,
    )
    if streams.modality == "text":
        made.text = row
    elif streams.modality == "vitals":
        named = zip(streams.channels, row["values"].tolist(), strict=True)
        made.measurements = {name: value for name, value in named if isfinite(value)}
        # A row without any measurement is a step too: it says that time went by.
        made.measurements = made.measurements or {streams.channels[0]: None}
        made.time = made.time or instant(float(row["time_s"]))
    elif streams.modality == "scores":
        made.scores = dict(zip(streams.channels, row.tolist(), strict=True))
    else:
        made.frames = [row.tolist()]
    return made
