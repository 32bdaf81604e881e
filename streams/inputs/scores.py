"""Scores of a model outside: checked to be probabilities of just the detector's classes."""

from __future__ import annotations

from math import fsum
from typing import TYPE_CHECKING

import numpy as np

from streams.records import Reason, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.inputs import Inputs
    from streams.records import Event

SLACK = 1e-3
"""How far from 1 the scores of a record may add up: rounded for transport, say."""


def stack_scores(
    events: Sequence[Event], classes: Sequence[str]
) -> tuple[Inputs, NDArray[np.intp], dict[int, Rejected]]:
    """Return the scores of the events, scaled to sum to 1; see `streams.inputs.stack.stack`.

    >>> from streams.records import Event
    >>> good, bad = Event("a", scores={"no": 0.25, "yes": 0.75}), Event("a", scores={"no": 1.0})
    >>> scores, n_steps, rejected = stack_scores([good, bad], ["no", "yes"])
    >>> scores.tolist(), n_steps.tolist(), rejected[1].reason
    ([[0.25, 0.75]], [1], <Reason.WRONG_SCORES: 'wrong_scores'>)
    """
    rejected = {i: why for i, event in enumerate(events) if (why := _fault(event, classes))}
    kept = [event for i, event in enumerate(events) if i not in rejected]
    rows = [[event.scores[name] for name in classes] for event in kept if event.scores]
    scores = np.array(rows, dtype=np.float64).reshape(-1, len(classes))
    scores /= scores.sum(axis=1, keepdims=True)
    n_steps = np.fromiter((bool(event.scores) for event in kept), np.intp, len(kept))
    return scores.astype(np.float32), n_steps, rejected


def _fault(event: Event, classes: Sequence[str]) -> Rejected | None:
    scores = event.scores
    if not scores:
        return None
    if len(scores) != len(classes) or not scores.keys() <= set(classes):
        detail = f"{len(scores)} scores; wanted one for each of: {', '.join(classes)}"
        return Rejected(Reason.WRONG_SCORES, detail)
    if not all(0.0 <= score <= 1.0 + SLACK for score in scores.values()):
        return Rejected(Reason.WRONG_SCORES, "a score is below 0 or above 1")
    total = fsum(scores.values())
    if abs(total - 1.0) > SLACK:
        return Rejected(Reason.WRONG_SCORES, f"the scores add up to {total:.6g}, not to 1")
    return None
