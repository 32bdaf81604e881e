"""What signals share whose readiness depends on the step at hand alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from stopping.signals.rounding import rounded

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from stopping.scores import FloatArray
    from stopping.signals.protocol import State


class Memoryless(ABC):
    """A signal without memory; a subclass says its `readiness`."""

    @abstractmethod
    def readiness(self, probs: FloatArray, aux: Mapping[str, FloatArray]) -> FloatArray:
        """Return the readiness [n] of n streams, not rounded yet."""

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
        return dict(state), rounded(self.readiness(probs, aux))
