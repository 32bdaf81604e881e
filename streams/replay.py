"""Recorded streams as live events: interleaved, in order within each stream, repeatable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streams.records import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.scoring import StreamSet


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
    waiting = iter(random.permutation(len(streams)).tolist())
    active = [(i, 1) for _, i in zip(range(concurrent), waiting, strict=False)]
    while active:
        at = int(random.integers(len(active)))
        i, step = active[at]
        last = step >= int(streams.lengths[i])
        yield Event(
            stream_id=streams.stream_id(i),
            event_id=streams.event_id(i, step),
            detector=detector,
            frames=[streams.frames[i, step - 1].tolist()],
            end=last,
        )
        if not last:
            active[at] = (i, step + 1)
            continue
        following = next(waiting, None)
        if following is None:
            active[at] = active[-1]
            active.pop()
        else:
            active[at] = (following, 1)
