"""Dividing a data set for training: by subject, never by stream or event.

Streams of one subject, and streams that are equal step for step, form one group; a group goes
into one part whole. Of each group in the calibration part one stream, drawn at random, is used:
the promise is about exchangeable *subjects*, one episode each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.errors import SplitError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from detectors.datasets import Dataset
    from detectors.scoring import StreamSet

TUNING_SHARE = 0.15
"""Of the train part, to decide when to stop learning; unless the set has a val part."""
CALIBRATION_SHARE = 0.25
"""Of the train part, for the thresholds; unless the set has a calibration part."""
LEAST_GROUPS = 3
"""Groups that a part must have to be divided."""


@dataclass(frozen=True)
class Parts:
    """What training uses; no group of the calibration part has a stream in `fit` or `tuning`."""

    fit: StreamSet
    tuning: StreamSet
    calibration: StreamSet
    """One stream a group."""
    test: StreamSet
    own_calibration: bool
    """Whether the data set has a calibration part of its own."""
    repeated: int
    """Test streams whose group has streams in another part too: the set's own doing."""


def divide(dataset: Dataset, seed: int) -> Parts:
    """Return the parts; the same seed gives the same ones.

    The set's own val and calibration parts are used where it has them; what is lacking is taken
    from its train part. Raises SplitError if there are too few groups for that.
    """
    names = tuple(dataset.parts)
    found = group([dataset.parts[name] for name in names], known=dataset.subjects_known)
    groups = dict(zip(names, found, strict=True))
    wanted = {
        name: share
        for name, own, share in (
            ("tuning", "val", TUNING_SHARE),
            ("calibration", "calibration", CALIBRATION_SHARE),
        )
        if own not in dataset.parts
    }
    random = np.random.default_rng(seed)
    rows = _carve(groups["train"], wanted, random, dataset.name)
    train = dataset.parts["train"]
    tuning = train.subset(rows["tuning"]) if "tuning" in rows else dataset.parts["val"]
    if "calibration" in rows:
        calibration, their = (
            train.subset(rows["calibration"]),
            groups["train"][rows["calibration"]],
        )
    else:
        calibration, their = dataset.parts["calibration"], groups["calibration"]
    learned = [groups["train"][rows["fit"]]]
    learned.append(groups["train"][rows["tuning"]] if "tuning" in rows else groups["val"])
    chosen = _one_each(their, np.concatenate(learned), random)
    others = np.concatenate([them for name, them in groups.items() if name != "test"])
    return Parts(
        fit=train.subset(rows["fit"]),
        tuning=tuning,
        calibration=calibration.subset(chosen),
        test=dataset.parts["test"],
        own_calibration="calibration" not in rows,
        repeated=int(np.isin(groups["test"], others).sum()),
    )


def group(parts: Sequence[StreamSet], *, known: bool) -> list[NDArray[np.int64]]:
    """Return a group number for every stream, comparable across `parts`.

    Two streams share a group if a chain of equal subjects and equal steps joins them. Where
    subjects are not `known` (they are row numbers then), only equal steps join.

    Examples
    --------
    >>> from detectors.scoring import StreamSet
    >>> frames, rows = np.array([[1.0], [2.0], [1.0]], np.float32), np.arange(3)
    >>> zeros, ends = np.zeros(3, np.int64), np.arange(4)
    >>> part = StreamSet("d", "train", "frames", rows, frames, ends, zeros, rows, ("a",), ("x",))
    >>> group([part], known=True)[0].tolist()
    [0, 1, 0]
    """
    keys: dict[object, int] = {}
    parent: list[int] = []
    for place, part in enumerate(parts):
        for i in range(len(part)):
            node = len(parent)
            parent.append(node)
            subject = ("subject", int(part.subjects[i])) if known else ("row", place, i)
            for key in (subject, ("steps", _digest(part, i))):
                _join(parent, keys.setdefault(key, node), node)
    roots = np.array([_root(parent, node) for node in range(len(parent))], dtype=np.int64)
    return np.split(roots, np.cumsum([len(part) for part in parts])[:-1])


def _carve(
    groups: NDArray[np.int64],
    wanted: Mapping[str, float],
    random: np.random.Generator,
    name: str,
) -> dict[str, NDArray[np.int64]]:
    """Return the rows of ``fit`` and of each wanted part; whole groups only."""
    different = random.permutation(np.unique(groups))
    if len(different) < LEAST_GROUPS:
        message = (
            f"the train part of {name} has {len(different)} subjects (or different streams); "
            f"at least {LEAST_GROUPS} are needed to learn, tune and calibrate. Use a larger set."
        )
        raise SplitError(message)
    taken: dict[str, NDArray[np.int64]] = {}
    start = 0
    for part, share in wanted.items():
        count = max(1, round(share * len(different)))
        taken[part] = np.flatnonzero(np.isin(groups, different[start : start + count]))
        start += count
    taken["fit"] = np.flatnonzero(np.isin(groups, different[start:]))
    return taken


def _one_each(
    groups: NDArray[np.int64], learned: NDArray[np.int64], random: np.random.Generator
) -> NDArray[np.int64]:
    """Return one row of each group that was not learned from, at random, in ascending order."""
    order = random.permutation(len(groups))
    order = order[~np.isin(groups[order], learned)]
    first = np.unique(groups[order], return_index=True)[1]
    return np.sort(order[first]).astype(np.int64)


def _digest(part: StreamSet, i: int) -> bytes:
    """Return what a stream's content is known by; the time that it was recorded does not count."""
    steps = part.inputs[part.offsets[i] : part.offsets[i + 1]]
    if part.modality == "text":
        content = "\x00".join(steps.tolist()).encode(errors="surrogatepass")
    else:
        values = steps["values"] if part.modality == "vitals" else steps
        content = (values + np.float32(0)).tobytes()  # -0.0 equals 0.0
    return hashlib.blake2b(content, digest_size=16).digest()


def _root(parent: list[int], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


def _join(parent: list[int], a: int, b: int) -> None:
    low, high = sorted((_root(parent, a), _root(parent, b)))
    parent[high] = low
