"""Check the frames of a batch against a detector's width, all at once."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from streams.records import MAX_FRAMES, Event, Reason, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LARGEST = float(np.finfo(np.float32).max)


def stack_frames(
    events: Sequence[Event], width: int
) -> tuple[NDArray[np.float32], NDArray[np.intp], dict[int, Rejected]]:
    """Return the frames of all usable events, one below the other, and the unusable events.

    Parameters
    ----------
    events
        Decoded records; one without frames has none to check.
    width
        d, the number of values a frame must have.

    Returns
    -------
    frames : float32 [sum of k over the usable events, d]
    n_frames : [usable events]
        k of each.
    rejected : why, by position in `events`
        A record is used whole or not at all.

    Examples
    --------
    >>> frames, n_frames, rejected = stack_frames(
    ...     [Event("a", frames=[[1.0, 2.0]]), Event("b", frames=[[1.0]]), Event("c", end=True)], 2
    ... )
    >>> frames.tolist(), n_frames.tolist(), rejected[1].detail
    ([[1.0, 2.0]], [1, 0], 'frame 1 has 1 values, the detector reads 2')
    """
    given = [event.frames or () for event in events]
    n_frames = np.array([len(frames) for frames in given], dtype=np.intp)
    array = _array(list(chain.from_iterable(given)), width)
    if array is not None and n_frames.max(initial=0) <= MAX_FRAMES:
        return array, n_frames, {}
    rejected = {i: why for i, event in enumerate(events) if (why := _fault(event, width))}
    kept = [i for i in range(len(events)) if i not in rejected]
    array = _array(list(chain.from_iterable(given[i] for i in kept)), width)
    assert array is not None, "each frame was checked"  # noqa: S101
    return array, n_frames[kept], rejected


def _array(frames: Sequence[Sequence[float]], width: int) -> NDArray[np.float32] | None:
    """Return the frames as one array, or None if some frame cannot be used."""
    if not set(map(len, frames)) <= {width}:
        return None
    # Value by value: numpy is slower at finding out the shape of lists of lists.
    values = np.fromiter(chain.from_iterable(frames), np.float64, len(frames) * width)
    if not (np.abs(values) <= LARGEST).all():
        return None
    return values.reshape(-1, width).astype(np.float32)


def _fault(event: Event, width: int) -> Rejected | None:
    frames = event.frames or ()
    if len(frames) > MAX_FRAMES:
        return Rejected(Reason.TOO_MANY_FRAMES, f"{len(frames)} frames; the limit is {MAX_FRAMES}")
    for nth, frame in enumerate(frames, start=1):
        if len(frame) != width:
            detail = f"frame {nth} has {len(frame)} values, the detector reads {width}"
            return Rejected(Reason.WRONG_WIDTH, detail)
        if not all(abs(value) <= LARGEST for value in frame):
            return Rejected(Reason.NOT_FINITE, f"frame {nth} has a value beyond single precision")
    return None
