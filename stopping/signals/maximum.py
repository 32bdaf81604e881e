"""Readiness = the largest class probability."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stopping.signals.memoryless import Memoryless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stopping.scores import FloatArray


class MaximumProbability(Memoryless):
    """The probability of the likeliest class; works with every classifier.

    >>> import numpy as np
    >>> signal = MaximumProbability()
    >>> probs = np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    >>> signal.update(signal.start(2), probs, {}, np.array([1, 1]))[1]
    array([0.5 , 0.75])
    """

    needs = frozenset({"probs"})
    bounds = (0.0, 1.0)

    def readiness(self, probs: FloatArray, aux: Mapping[str, FloatArray]) -> FloatArray:
        """Return the readiness [n]."""
        found: FloatArray = probs.max(axis=1)
        return found
