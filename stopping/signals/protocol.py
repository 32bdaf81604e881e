"""What every readiness signal offers; `tests/contract/test_signals.py` checks it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from stopping.scores import FloatArray

State = dict[str, NDArray[Any]]
"""Batched state: each array has one row a stream. A value: never changed in place."""


class Signal(Protocol):
    """How ready a stream is to be decided: one number a step, larger = readier.

    `update` is pure and works row by row: what a stream gets does not depend on the streams that
    share its batch. Readiness is rounded by `stopping.signals.rounding.rounded` here and nowhere
    else, so that calibration and serving compare the very same numbers.
    """

    @property
    def needs(self) -> frozenset[str]:
        """What `update` reads: ``probs``, and ``aux:NAME`` for each auxiliary output."""
        ...

    @property
    def bounds(self) -> tuple[float, float]:
        """Least and greatest readiness, besides -inf = not eligible at this step."""
        ...

    def fields(self) -> Mapping[str, tuple[str, tuple[int, ...]]]:
        """Return dtype and row shape of each array of the state; empty = no memory."""
        ...

    def start(self, n: int) -> State:
        """Return the state of n streams that have seen nothing."""
        ...

    def update(
        self,
        state: State,
        probs: FloatArray,
        aux: Mapping[str, FloatArray],
        t: NDArray[np.integer[Any]],
    ) -> tuple[State, NDArray[np.float64]]:
        """Fold one step of n streams into the state; return it with the readiness [n].

        Parameters
        ----------
        state
            As `start` or the last `update` returned it.
        probs : [n, C]
            Class probabilities.
        aux : name -> [n]
            Auxiliary outputs of the classifier.
        t : [n] int
            Step of each stream, from 1.
        """
        ...
