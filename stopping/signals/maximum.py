"""Readiness = the largest class probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stopping.signals.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stopping.scores import FloatArray
    from stopping.signals.protocol import State


class MaximumProbability:
    """The probability of the likeliest class; works with every classifier.

    >>> import numpy as np
    >>> signal = MaximumProbability()
    >>> probs = np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
    >>> signal.update(signal.start(2), probs, {}, np.array([1, 1]))[1]
    array([0.5 , 0.75])
    """

    needs = frozenset({"probs"})
    bounds = (0.0, 1.0)

    def fields(self) -> Mapping[str, tuple[str, tuple[int, ...]]]:
        """Return no field: the signal has no memory."""
        return {}

    def start(self, n: int) -> State:
        """Return the empty state, whatever n."""
        return {}

    def update(
        self,
        state: State,
        probs: FloatArray,
        aux: Mapping[str, FloatArray],
        t: NDArray[np.integer[Any]],
    ) -> tuple[State, NDArray[np.float64]]:
        """Return the state as it is and the readiness [n]."""
        return dict(state), rounded(probs.max(axis=1))
