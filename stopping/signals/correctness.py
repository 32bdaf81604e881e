"""Readiness = what the classifier's own head says of its being right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stopping.signals.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stopping.scores import FloatArray
    from stopping.signals.protocol import State


class Correctness:
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
        return dict(state), rounded(aux["correctness"])
