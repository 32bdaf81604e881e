"""Readiness = the probability of the label that is to be raised."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stopping.signals.memoryless import Memoryless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stopping.scores import FloatArray


class Alarm(Memoryless):
    """The probability of one class, for one-sided rules; works with every classifier.

    Parameters
    ----------
    alarm
        Index of that class, 0 or above and below the number of classes.

    Raises
    ------
    ValueError
        If `alarm` is no class index.

    Examples
    --------
    >>> import numpy as np
    >>> signal = Alarm(1)
    >>> probs = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    >>> signal.update(signal.start(2), probs, {}, np.array([1, 1]))[1]
    array([0.25, 0.75])
    """

    needs = frozenset({"probs"})
    bounds = (0.0, 1.0)

    def __init__(self, alarm: int) -> None:
        if type(alarm) is not int or alarm < 0:  # a bool is an int too
            message = f"alarm is {alarm!r}, but must be a class index, an integer of 0 or more"
            raise ValueError(message)
        self._alarm = alarm

    def readiness(self, probs: FloatArray, aux: Mapping[str, FloatArray]) -> FloatArray:
        """Return the readiness [n]."""
        found: FloatArray = probs[:, self._alarm]
        return found
