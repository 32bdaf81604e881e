"""Readiness = the probability of the label that is to be raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stopping.signals.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stopping.scores import FloatArray
    from stopping.signals.protocol import State


class Alarm:
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
        return dict(state), rounded(probs[:, self._alarm])
