"""Alarms as a bedside hears them: again and again, with a silence after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from stopping.scores import BoolArray, FloatArray


def onsets(above: BoolArray, hours: FloatArray, refractory_h: float) -> BoolArray:
    """Return at which steps an alarm sounds, [n, T].

    Parameters
    ----------
    above : [n, T] bool
        Where the readiness is at its threshold or above; False past a stream's length.
    hours : [n, T]
        Time of each step, non-decreasing within a stream.
    refractory_h
        Hours of silence after an alarm. 0 lets every step above the threshold sound.

    Examples
    --------
    >>> above = np.array([[True, True, False, True, True]])
    >>> onsets(above, np.arange(5.0)[None], 2).tolist()
    [[True, False, False, True, False]]
    """
    last = np.full(len(above), -np.inf)
    sounded = np.zeros_like(above)
    for t in range(above.shape[1]):
        sounds = above[:, t] & (hours[:, t] - last >= refractory_h)
        sounded[:, t] = sounds
        last = np.where(sounds, hours[:, t], last)
    return sounded
