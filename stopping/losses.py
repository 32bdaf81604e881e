"""What halting at each step would cost a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stopping.scores import BoolArray, IntArray, check_classes, inside

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def accuracy_gap_loss(
    predicted: ArrayLike, label: ArrayLike, lengths: ArrayLike | None = None
) -> BoolArray:
    """Loss of halting at each step: the late prediction is right and the early one wrong.

    An early answer that is right where the late one is wrong earns no credit, so the mean loss is
    never below (late accuracy - early accuracy).

    Parameters
    ----------
    predicted : [n, T] int
        Class index at every step; anything past a stream's length.
    label : [n] int
        True class index.
    lengths : [n] int, optional
        Steps of each stream; the late prediction is the one at its own last step.

    Returns
    -------
    [n, T] bool
        False past a stream's length, and at its last step.

    Raises
    ------
    ShapeError, LabelError

    Examples
    --------
    >>> accuracy_gap_loss([[0, 1, 1], [1, 0, 9]], [1, 1], [3, 2]).tolist()
    [[True, False, False], [False, False, False]]
    """
    classes, truth, steps = check_classes(predicted, label, lengths)
    right = classes == truth[:, None]
    late_right = _at_end(right, steps)
    loss: BoolArray = late_right[:, None] & ~right & inside(steps, classes.shape[1])
    return loss


def majority_class(label: ArrayLike) -> int:
    """Return the most frequent class index; the lowest of those that tie.

    >>> majority_class([2, 0, 2, 0])
    0
    """
    return int(np.bincount(np.asarray(label, np.int64)).argmax())


def majority_loss(
    predicted: ArrayLike, label: ArrayLike, lengths: ArrayLike | None = None
) -> BoolArray:
    """Loss of answering the majority class at step 1, whatever the stream says; [n] bool.

    The late prediction is right and the label another than the majority class. Where the mean of
    this is at most alpha, a promise of accuracy gap <= alpha says nothing about the rule.

    >>> majority_loss([[0, 1], [0, 0], [0, 0]], [1, 0, 0]).tolist()
    [True, False, False]
    """
    classes, truth, steps = check_classes(predicted, label, lengths)
    if not len(truth):
        return np.zeros(0, np.bool_)
    late_right = _at_end(classes == truth[:, None], steps)
    loss: BoolArray = late_right & (truth != majority_class(truth))
    return loss


def _at_end(right: BoolArray, lengths: IntArray) -> BoolArray:
    late: BoolArray = right[np.arange(len(right)), lengths - 1]
    return late
