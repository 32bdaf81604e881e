"""From a fitted model of scikit-learn to our own flat arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.vitals.ensemble import LEAF, Trees, whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.ensemble import HistGradientBoostingClassifier

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]


def flat(model: HistGradientBoostingClassifier, rounds: int, columns: NDArray[np.intp]) -> Trees:
    """Return the first `rounds` of a fitted model as flat arrays.

    `columns` says which column of the matrix each feature of the model is. What the model reads
    is float32, so thresholds are rounded down to float32 without changing any answer.
    """
    grown: list[list[Any]] = vars(model)["_predictors"][:rounds]  # no public way to the nodes
    baseline = np.asarray(vars(model)["_baseline_prediction"], np.float64).ravel()
    nodes = [predictor.nodes for per_class in grown for predictor in per_class]
    shape = (len(nodes), max(map(len, nodes)))
    trees = Trees(
        feature=np.full(shape, LEAF, np.int32), threshold=np.zeros(shape, np.float32),
        missing_left=np.zeros(shape, np.bool_), left=np.zeros(shape, np.int32),
        right=np.zeros(shape, np.int32), value=np.zeros(shape),
        output=np.tile(np.arange(len(baseline), dtype=np.int32), len(grown)),
        baseline=whole(baseline),
    )  # fmt: skip
    for t, node in enumerate(nodes):
        asks, n = node["is_leaf"] == 0, len(node)
        trees.feature[t, :n] = np.where(asks, columns[node["feature_idx"] * asks], LEAF)
        trees.threshold[t, :n] = np.where(asks, _rounded_down(node["num_threshold"]), 0)
        trees.missing_left[t, :n] = asks & (node["missing_go_to_left"] == 1)
        trees.left[t, :n], trees.right[t, :n] = node["left"] * asks, node["right"] * asks
        trees.value[t, :n] = whole(_expected(node))
    return trees


def _expected(node: NDArray[Any]) -> Float64:
    """Return the mean value of the leaves below each node, weighed by their training rows."""
    total = np.where(node["is_leaf"] == 1, node["value"], 0.0) * node["count"]
    for at in range(len(node) - 1, -1, -1):  # pre-order: children stand after their parents
        if not node["is_leaf"][at]:
            total[at] = total[node["left"][at]] + total[node["right"][at]]
    mean: Float64 = total / np.maximum(node["count"], 1)
    return np.where(node["is_leaf"] == 1, node["value"], mean)


def _rounded_down(thresholds: Float64) -> Float32:
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    rounded: Float32 = np.where(nearest > thresholds, below, nearest)
    return rounded
