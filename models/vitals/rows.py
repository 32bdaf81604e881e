"""What trees learn from: a row for each step, of the features that serving would see there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.vitals.memory import FARTHEST

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.protocol import LabelledStreams
    from models.vitals.features import Features
    from models.vitals.memory import Memory

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

RARE = 1e-4
"""Share of a channel's values at either end that may lie outside the plausible range's core."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Steps to learn from."""

    matrix: Float32
    """[m, F]."""
    labels: NDArray[np.int64]
    """[m]."""
    weights: Float64
    """How many steps each stands for, [m]."""


def plausible(values: Float32) -> Float32:
    """Return the least and most plausible value of each column of `values` [m, u], [u, 2].

    From the quantiles `RARE` and 1 - `RARE` on, the range reaches as far again as it is wide; but
    where all but rare values are above 0, not below half the least of them, so that a value in
    much larger units (kPa for mmHg) does not pass. A column without values has no plausible ones.

    >>> plausible(np.linspace(50, 150, 1001, dtype=np.float32)[:, np.newaxis]).round(0).tolist()
    [[25.0, 250.0]]
    """
    found = np.full((values.shape[1], 2), [FARTHEST, -FARTHEST], np.float32)
    for column, there in enumerate(np.isfinite(values).T):
        if there.any():
            low, high = np.quantile(values[there, column].astype(np.float64), [RARE, 1 - RARE])
            width = max(high - low, np.finfo(np.float32).tiny)
            least = low / 2 if low > 0 else low - width
            found[column] = np.clip((least, high + width), -FARTHEST, FARTHEST)
    return found


def rows(
    streams: LabelledStreams,
    memory: Memory,
    features: Features,
    horizon: int,
    most: int,
    random: np.random.Generator,
) -> Rows:
    """Return the features after each of at most about `most` steps, in no particular order.

    Steps of streams that are ever of another class than the commonest are all kept, unless they
    are more than half of `most`; of the others a random share, each with the weight of those it
    stands for.
    """
    lengths = np.minimum(streams.lengths, horizon)
    inside = (
        np.arange(len(streams.inputs)) - np.repeat(streams.offsets[:-1], streams.lengths) < horizon
    )
    truth = streams.step_labels
    labels = np.repeat(streams.labels, streams.lengths) if truth is None else truth
    common = np.bincount(labels[inside]).argmax()
    rare = np.logical_or.reduceat((labels != common) & inside, streams.offsets[:-1])
    of_rare = np.repeat(rare, streams.lengths) & inside
    share = np.where(of_rare, _share(most / 2, of_rare), 0.0)
    rest = inside & ~of_rare
    share[rest] = _share(most - (share > 0).sum(), rest)
    kept = random.random(len(share)) < share

    longest_first = np.argsort(-lengths, kind="stable")
    starts, sorted_lengths = streams.offsets[:-1][longest_first], lengths[longest_first]
    state = memory.start(len(starts))
    parts, places = [], []
    for step in range(int(sorted_lengths[0])):
        n = int(np.searchsorted(-sorted_lengths, -step, side="left"))
        state = {name: array[:n] for name, array in state.items()}
        at = starts[:n] + step
        state, _ = memory.step(state, streams.inputs[at])
        here = np.flatnonzero(kept[at])
        parts.append(features.matrix({name: array[here] for name, array in state.items()}))
        places.append(at[here])
    place = np.concatenate(places)
    return Rows(np.concatenate(parts), labels[place], 1.0 / share[place])


def learnable(
    features: Features,
    learned: Rows,
    values: Float32,
    offsets: NDArray[np.int64],
    columns: NDArray[np.intp],
) -> NDArray[np.bool_]:
    """Return which features may be asked about, [F].

    None that is always missing; and of a channel that never changes within a stream only its
    value: how often it was sent, say, would be the clock under another name.
    """
    changes = np.zeros(len(columns), np.bool_)
    inner = np.ones(len(values) - 1, np.bool_)
    inner[offsets[1:-1] - 1] = False
    for place, column in enumerate(columns):
        one, other = values[:-1, column], values[1:, column]
        changes[place] = ((one != other) & ~(np.isnan(one) & np.isnan(other)) & inner).any()
    known = ~np.isnan(learned.matrix).all(axis=0)
    own = ("clock", "busy", "made", "last")
    asked = [column.kind in own or changes[column.places[0]] for column in features.columns]
    allowed: NDArray[np.bool_] = known & np.array(asked)
    return allowed


def _share(most: float, steps: NDArray[np.bool_]) -> float:
    """Return which share of `steps` to keep for about `most` of them; never none."""
    n = max(int(steps.sum()), 1)
    return min(1.0, max(most, 1.0) / n)
