"""Options of the boosted trees, as they stand under ``[classifier]``; free of scikit-learn."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

MOST_LEAVES = 64
"""A tree's leaves are held as the bits of one word."""
MOST_TREES = 2000


class TreesOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """What the trees may see, and how they are grown.

    The defaults were chosen on a tuning part of the sepsis data: `docs/science/sepsis.md`.
    """

    channels: tuple[str, ...] = ()
    """Channels that may be looked at; none named = all."""
    features: Literal["all", "values", "clock"] = "all"
    """``all``; ``values``: what was measured, and neither how often nor how long ago nor whether;
    ``clock``: the hours since the first record and each channel's last value, no more."""
    trees: Annotated[int, Meta(ge=1, le=MOST_TREES)] = 200
    """Rounds of boosting; those after the least loss on the tuning part are cut off. With more
    than two classes each round grows one tree a class."""
    leaves: Annotated[int, Meta(ge=2, le=MOST_LEAVES)] = 8
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.05
    least_rows: Annotated[int, Meta(ge=1)] = 100
    """Rows that a leaf must hold; a fiftieth of all rows where that is less."""
    l2: Annotated[float, Meta(ge=0.0)] = 10.0
    feature_share: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.3
    """Of the features, drawn anew for each split."""
    rows: Annotated[int, Meta(ge=1)] = 80_000
    """Steps to learn from, at most about: streams that ever leave the commonest class are kept
    whole, of the others' steps a random share, each weighing as many as it stands for."""
    seed: Annotated[int, Meta(ge=0)] = 0
