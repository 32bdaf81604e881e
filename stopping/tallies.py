"""How many streams had halted by each step, and how many of them at a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from stopping.scores import BoolArray, IntArray


class WorstStep(NamedTuple):
    """The step by which the share of losses was largest."""

    step: int
    halted: int
    gap: float


@dataclass(frozen=True, slots=True)
class Tally:
    """Counts accumulated over steps 1..T; entry t - 1 belongs to step t."""

    halted: tuple[int, ...]
    losses: tuple[int, ...]

    @property
    def gaps(self) -> tuple[float | None, ...]:
        """Share of losses among the streams halted by each step; None where none had."""
        return tuple(g / m if m else None for g, m in zip(self.losses, self.halted, strict=True))

    def worst(self) -> WorstStep | None:
        """Return the step of the largest gap, the first of those that tie; None if none halted."""
        steps = [
            WorstStep(step, halted, gap)
            for step, (halted, gap) in enumerate(zip(self.halted, self.gaps, strict=True), start=1)
            if gap is not None
        ]
        return max(steps, key=lambda worst: worst.gap, default=None)


def tally_halted(steps: IntArray, lost: BoolArray, horizon: int) -> Tally:
    """Count over {tau_i <= t}, the published set: streams that ended by themselves belong to it.

    >>> tally_halted(np.array([1, 2, 2]), np.array([False, True, False]), 3)
    Tally(halted=(1, 3, 3), losses=(0, 1, 1))
    """
    halted = np.bincount(steps, minlength=horizon + 1)[1:].cumsum()
    losses = np.bincount(steps[lost], minlength=horizon + 1)[1:].cumsum()
    return Tally(tuple(halted.tolist()), tuple(losses.tolist()))


def tally_stopped_early(
    steps: IntArray, lost: BoolArray, lengths: IntArray, horizon: int
) -> Tally:
    """Count over {tau_i <= t, tau_i < T_i}: only streams that were stopped before their end.

    >>> lengths = np.array([3, 2, 3])
    >>> tally_stopped_early(np.array([1, 2, 2]), np.array([False, True, False]), lengths, 3)
    Tally(halted=(1, 2, 2), losses=(0, 0, 0))
    """
    early = steps < lengths
    return tally_halted(steps[early], lost[early], horizon)
