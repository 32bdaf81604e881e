"""Readiness = what the classifier's own head says of its being right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stopping.signals.memoryless import Memoryless

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stopping.scores import FloatArray


class Correctness(Memoryless):
    """The auxiliary output ``correctness``: estimated probability that the answer now is right.

    The signal of Ringel et al. (ICML 2024). The head is trained on training streams and tends to
    be over-confident, which costs earliness but not validity.

    >>> import numpy as np
    >>> signal = Correctness()
    >>> aux = {"correctness": np.array([0.25, 0.875], np.float32)}
    >>> signal.update(signal.start(2), np.full((2, 2), 0.5), aux, np.array([1, 1]))[1]
    array([0.25 , 0.875])
    """

    needs = frozenset({"aux:correctness"})
    bounds = (0.0, 1.0)

    def readiness(self, probs: FloatArray, aux: Mapping[str, FloatArray]) -> FloatArray:
        """Return the readiness [n]."""
        found: FloatArray = aux["correctness"]
        return found
