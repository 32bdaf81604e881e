"""What early decisions cost and gain on a labelled set: the numbers of an evaluation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stopping.errors import ShapeError
from stopping.losses import accuracy_gap_loss
from stopping.scores import BoolArray, IntArray, check_classes, check_integers
from stopping.tallies import Tally, WorstStep, tally_halted, tally_stopped_early
from stopping.thresholds import at_halt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

SHARES = (0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class GapAt:
    """The gap among the earliest-halting share of the streams."""

    share: float
    n: int
    """Streams in it: all that tie with the last one belong to it."""
    losses: int

    @property
    def gap(self) -> float:
        """Losses per stream."""
        return self.losses / self.n


@dataclass(frozen=True, slots=True)
class GapReport:
    """Evaluation of a rule on n labelled streams."""

    n: int
    accuracy: float
    late_accuracy: float
    losses: int
    """Streams whose late prediction is right and whose early one is wrong."""
    gap_at: tuple[GapAt, ...]
    time_used: float
    """Mean of halt step / length."""
    halted: Tally
    """Over {tau_i <= t}, the published set."""
    stopped_early: Tally
    """Over {tau_i <= t, tau_i < T_i}."""

    @property
    def gap(self) -> float:
        """Losses per stream, over all streams."""
        return self.losses / self.n

    def to_json(self) -> dict[str, Any]:
        """Return the numbers as JSON values."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "late_accuracy": self.late_accuracy,
            "gap": self.gap,
            "losses": self.losses,
            "gap_at": {str(at.share): at.gap for at in self.gap_at},
            "gap_n": {str(at.share): at.n for at in self.gap_at},
            "gap_losses": {str(at.share): at.losses for at in self.gap_at},
            "time_used": self.time_used,
            "max_conditional_gap": _worst_json(self.halted.worst()),
            "max_conditional_gap_early": _worst_json(self.stopped_early.worst()),
        }


def report_gap(
    steps: ArrayLike,
    predicted: ArrayLike,
    label: ArrayLike,
    lengths: ArrayLike | None = None,
    *,
    shares: Sequence[float] = SHARES,
) -> GapReport:
    """Return what halting at `steps` cost and gained.

    Parameters
    ----------
    steps : [n] int
        Halt step of each stream, from 1 to its length.
    predicted, label, lengths
        As for `stopping.losses.accuracy_gap_loss`; n of at least 1.
    shares
        Shares q, each in (0, 1], for which the gap of the earliest-halting streams is told.

    Raises
    ------
    ShapeError, LabelError

    Examples
    --------
    >>> report = report_gap([1, 2, 2], [[0, 1], [1, 1], [0, 0]], [1, 1, 1])
    >>> report.losses, [(at.n, at.losses) for at in report.gap_at]
    (1, [(1, 1), (3, 1), (3, 1)])
    >>> round(report.gap, 3), round(report.time_used, 3)
    (0.333, 0.833)
    """
    classes, truth, ends = check_classes(predicted, label, lengths)
    halts = _check_steps(steps, ends)
    lost = at_halt(accuracy_gap_loss(classes, truth, ends), halts)
    horizon = classes.shape[1]
    return GapReport(
        n=len(halts),
        accuracy=float((at_halt(classes, halts) == truth).mean()),
        late_accuracy=float((at_halt(classes, ends) == truth).mean()),
        losses=int(lost.sum()),
        gap_at=tuple(gap_among_earliest(halts, lost, share) for share in shares),
        time_used=float((halts / ends).mean()),
        halted=tally_halted(halts, lost, horizon),
        stopped_early=tally_stopped_early(halts, lost, ends, horizon),
    )


def gap_among_earliest(steps: IntArray, lost: BoolArray, share: float) -> GapAt:
    """Return the gap among the earliest-halting `share` of the streams, all ties included.

    >>> gap_among_earliest(np.array([3, 1, 2, 2]), np.array([True, False, True, False]), 0.5)
    GapAt(share=0.5, n=3, losses=1)
    """
    # The least rank that covers the share; a product that is whole but for rounding counts as so.
    rank = max(1, math.ceil(share * len(steps) - 1e-9))
    among = steps <= np.sort(steps)[rank - 1]
    return GapAt(share, int(among.sum()), int(lost[among].sum()))


def _check_steps(steps: ArrayLike, lengths: IntArray) -> IntArray:
    halts = check_integers("steps", steps, lengths.shape)
    if not halts.size:
        raise ShapeError("steps", "empty", "halt steps of at least one stream")
    if (halts < 1).any() or (halts > lengths).any():
        raise ShapeError("steps", "outside 1..length for some stream", "a step the stream has")
    return halts


def _worst_json(worst: WorstStep | None) -> dict[str, Any] | None:
    return None if worst is None else worst._asdict()
