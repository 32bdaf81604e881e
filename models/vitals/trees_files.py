"""The fitted numbers of a classifier of vital signs: what they are, and how they are stored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from models.errors import ModelFileError
from models.vitals.ensemble import LEAF, Trees, whole
from models.vitals.features import Features
from models.vitals.memory import FARTHEST
from models.vitals.options import MOST_LEAVES, MOST_TREES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DESCRIPTION_FILE = "classifier.json"
WEIGHTS_FILE = "trees.safetensors"

Names = Annotated[tuple[str, ...], Meta(min_length=1)]


class TreesDescription(Struct, frozen=True, forbid_unknown_fields=True):
    """What the classifier reads and says; `classifier.json`."""

    classes: Annotated[tuple[str, ...], Meta(min_length=2)]
    channels: Names
    """Of a record."""
    used: Names
    """Those of them that are looked at."""
    features: Literal["all", "values", "clock"]
    kind: Literal["trees"] = "trees"
    schema: Literal[1] = 1

    @property
    def columns(self) -> NDArray[np.intp]:
        """Where the used channels stand among all."""
        return np.array([self.channels.index(name) for name in self.used], np.intp)

    @property
    def n_scores(self) -> int:
        """One score for two classes, the log-odds of the second; else one a class."""
        return 1 if len(self.classes) == 2 else len(self.classes)


@dataclass(frozen=True, slots=True, eq=False)
class TreesWeights:
    """Fitted numbers; u used channels, F features."""

    trees: Trees
    ranges: NDArray[np.float32]
    """Least and most plausible value of each used channel, [u, 2]; beyond is read as missing."""
    fill: NDArray[np.float32]
    """What stands for a feature that is missing, [F]; NaN: nothing does, the trees see that."""


def save(description: TreesDescription, weights: TreesWeights, folder: Path) -> None:
    """Write both files into `folder`, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(description), indent=2)
    (folder / DESCRIPTION_FILE).write_bytes(text + b"\n")
    arrays = {"ranges": weights.ranges, "fill": weights.fill}
    arrays |= {field.name: getattr(weights.trees, field.name) for field in fields(Trees)}
    plain = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    (folder / WEIGHTS_FILE).write_bytes(save_tensors(plain))


def load(folder: Path) -> tuple[TreesDescription, TreesWeights]:
    """Read both files; raises ModelFileError unless they hold such trees, and fit each other."""
    path = folder / DESCRIPTION_FILE
    try:
        description = msgspec.json.decode(path.read_bytes(), type=TreesDescription)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ModelFileError(path, f"not the description of boosted trees ({error})") from error
    for names in (description.classes, description.channels, description.used):
        if len(set(names)) != len(names):
            raise ModelFileError(path, f"a name stands twice in {', '.join(names)}")
    if not set(description.channels).issuperset(description.used):
        raise ModelFileError(path, "a channel is used that is not among its channels")
    return description, _load_weights(folder / WEIGHTS_FILE, description)


def _load_weights(path: Path, description: TreesDescription) -> TreesWeights:
    try:
        arrays = load_tensors(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise ModelFileError(path, f"not a safetensors file ({error})") from error
    n_features = len(Features(description.used, description.features).columns)
    shape = arrays["feature"].shape if "feature" in arrays else (0, 0)
    wanted: dict[str, tuple[str, tuple[int, ...]]] = {
        "ranges": ("float32", (len(description.used), 2)),
        "fill": ("float32", (n_features,)),
        "baseline": ("float64", (description.n_scores,)),
        "output": ("int32", shape[:1]),
        **dict.fromkeys(("feature", "left", "right"), ("int32", shape)),
        "threshold": ("float32", shape),
        "missing_left": ("bool", shape),
        "value": ("float64", shape),
    }
    if arrays.keys() != wanted.keys():
        names = ", ".join(sorted(arrays.keys() ^ wanted.keys()))
        raise ModelFileError(path, f"arrays missing or unknown: {names}")
    for name, (dtype, expected) in wanted.items():
        array = arrays[name]
        if array.dtype != dtype or array.shape != expected:
            detail = f"{name} is {array.dtype} {array.shape}; wanted {dtype} {expected}"
            raise ModelFileError(path, detail)
    ranges, fill = arrays.pop("ranges"), arrays.pop("fill")
    if not (np.abs(ranges) <= FARTHEST).all() or np.isinf(fill).any():
        raise ModelFileError(path, "ranges or fill hold a value that is not plausible")
    trees = Trees(**arrays)
    if (fault := fault_of(trees, n_features)) is not None:
        raise ModelFileError(path, fault)
    return TreesWeights(trees, ranges, fill)


def fault_of(trees: Trees, n_features: int) -> str | None:
    """Return what makes `trees` no trees over `n_features` columns; None if nothing does."""
    feature = trees.feature
    if feature.ndim != 2 or not feature.size or feature.shape[1] > 2 * MOST_LEAVES - 1:
        return f"feature is {feature.shape}; wanted trees of at most {MOST_LEAVES} leaves"
    if len(feature) > MOST_TREES * len(trees.baseline):
        return f"there are {len(feature)} trees; at most {MOST_TREES} rounds are read"
    if feature.min() < LEAF or feature.max() >= n_features:
        return f"a node asks about a feature that is not among the {n_features}"
    if trees.output.min() < 0 or trees.output.max() >= len(trees.baseline):
        return "a tree adds to a score that there is not"
    if np.isnan(trees.threshold).any():
        return "a threshold is not a number"
    for values in (trees.value, trees.baseline):
        if not np.array_equal(whole(values), values):
            return "a value is not a whole multiple of 2^-32, or too large"
    if not _are_trees(trees):
        return "the nodes of a tree are not in pre-order, or a node has two parents"
    return None


def _are_trees(trees: Trees) -> bool:
    """Say whether every node that asks leads to two later nodes, and no node to one twice."""
    t, at = np.nonzero(trees.feature != LEAF)
    left, right = trees.left[t, at].astype(np.int64), trees.right[t, at].astype(np.int64)
    if not ((left == at + 1) & (right > left) & (right < trees.feature.shape[1])).all():
        return False
    children = np.concatenate((left, right)) + np.tile(t, 2) * trees.feature.shape[1]
    return len(np.unique(children)) == len(children)
