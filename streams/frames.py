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
) -> tuple[NDArray[np.float32], dict[int, Rejected]]:
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
    rejected : why, by position in `events`
        A record is used whole or not at all.

    Examples
    --------
    >>> frames, rejected = stack_frames(
    ...     [Event("a", frames=[[1.0, 2.0]]), Event("b", frames=[[1.0]]), Event("c", end=True)], 2
    ... )
    >>> frames.tolist(), rejected[1].detail
    ([[1.0, 2.0]], 'frame 1 has 1 values, the detector reads 2')
    """
    array = _array([frame for event in events for frame in event.frames or ()], width)
    if array is not None and max((len(e.frames or ()) for e in events), default=0) <= MAX_FRAMES:
        return array, {}
    rejected = {i: why for i, event in enumerate(events) if (why := _fault(event, width))}
    rest = (event.frames or () for i, event in enumerate(events) if i not in rejected)
    array = _array(list(chain.from_iterable(rest)), width)
    assert array is not None, "each frame was checked"  # noqa: S101
    return array, rejected


def _array(frames: list[list[float]], width: int) -> NDArray[np.float32] | None:
    """Return the frames as one array, or None if some frame cannot be used."""
    if not frames:
        return np.empty((0, width), dtype=np.float32)
    try:
        wide = np.array(frames, dtype=np.float64)
    except ValueError:  # unequal widths
        return None
    if wide.shape[1:] != (width,) or not (np.abs(wide) <= LARGEST).all():
        return None
    return wide.astype(np.float32)


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
