"""From a stream's summed confidence values to probabilities.

SS3 itself answers with the class of the largest sum. Sums grow with a stream, in all classes, so
they are damped by their total and put through a softmax whose scale and offsets are fitted on
streams that the words were not counted in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from msgspec import Meta, Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float64 = NDArray[np.float64]

Damping = Literal["none", "root", "share"]
DAMPINGS: tuple[Damping, ...] = ("none", "root", "share")
MOST_SCALE = 200.0


class Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """The fitted softmax: logit of class c = scale * damped sum of c + offset of c."""

    damping: Damping
    """Sums are divided by 1, by the root of one plus their total, or by one plus their total."""
    scale: Annotated[float, Meta(ge=0.0, le=MOST_SCALE)]
    offsets: tuple[Annotated[float, Meta(ge=-100.0, le=100.0)], ...]
    """Nats, one a class: what is thought of a stream in which nothing was read yet."""


def damped(sums: Float64, damping: Damping) -> Float64:
    """Return the sums, [C, n], divided as `damping` says.

    >>> damped(np.array([[2.0], [1.0]]), "share").tolist()
    [[0.5], [0.25]]
    """
    if damping == "none":
        return sums
    total = sums[0].copy()
    for more in sums[1:]:  # one class after another: the same sum in a batch of any size
        total += more
    total += 1.0
    divided: Float64 = sums / (np.sqrt(total) if damping == "root" else total)
    return divided


def probabilities(sums: Float64, answer: Answer) -> Float64:
    """Return the probability of each class, [C, n], from the sums, [C, n].

    >>> answer = Answer("none", 1.0, (0.0, 0.0))
    >>> probabilities(np.array([[0.0], [np.log(3)]]), answer).round(3).tolist()
    [[0.25], [0.75]]
    """
    logits = answer.scale * damped(sums, answer.damping) + np.array(answer.offsets)[:, np.newaxis]
    logits -= logits.max(axis=0)
    likelihood: Float64 = np.exp(logits)
    total = likelihood[0].copy()
    for more in likelihood[1:]:
        total += more
    shares: Float64 = likelihood / total
    return shares
