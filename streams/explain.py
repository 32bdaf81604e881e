"""What a stream keeps to account for its decision: the trajectory, and the reasons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streams.state import Layout, Rows, part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.detector import Detector
    from models.protocol import Explanation
    from streams.rounds import Index

DIGITS = 6
"""Decimal places of a trajectory's numbers."""


def add_points(
    layout: Layout,
    rows: Rows,
    row: Index,
    predicted: Index,
    probability: NDArray[np.float32],
    readiness: NDArray[np.float64],
) -> None:
    """Add the step just scored to the trajectories of the given rows, in place.

    A trajectory keeps every `stride`-th step; when its 64 places are full, every second point
    goes and the stride doubles. So it always spans the whole stream.
    """
    full = (rows["n_points"][row] == layout.n_points) & _due(rows, row)
    for stream in row[full].tolist():
        kept = rows["points"][stream][::2].copy()
        rows["points"][stream][: len(kept)] = kept
        rows["n_points"][stream] = len(kept)
        rows["stride"][stream] *= 2
    due = _due(rows, row)
    at = row[due]
    points = rows["points"]
    place = rows["n_points"][at]
    for name, values in (
        ("step", rows["t"][at]),
        ("label", predicted[due]),
        ("probability", probability[due]),
        ("readiness", readiness[due]),
    ):
        points[name][at, place] = values
    rows["n_points"][at] += 1


def _due(rows: Rows, row: Index) -> NDArray[np.bool_]:
    due: NDArray[np.bool_] = (rows["t"][row] - 1) % rows["stride"][row] == 0
    return due


def trajectories(
    classes: Sequence[str], rows: Rows, labels: Sequence[int]
) -> list[list[dict[str, Any]]]:
    """Return the kept steps of each row, its latest one always among them, as JSON values.

    `labels` are the class indices that the rows answer now.
    """
    points, every = rows["points"], np.arange(len(rows))
    columns = (
        points["step"].tolist(),
        points["label"].tolist(),
        _shown(points["probability"]),
        _shown(points["readiness"]),
    )
    latest = zip(
        rows["t"].tolist(),
        labels,
        _shown(rows["probabilities"][every, labels]),
        _shown(rows["readiness"]),
        strict=True,
    )
    found = []
    for i, (n_points, last) in enumerate(zip(rows["n_points"].tolist(), latest, strict=True)):
        kept = list(zip(*(column[i][:n_points] for column in columns), strict=True))
        if not kept or kept[-1][0] != last[0]:
            kept.append(last)
        found.append(
            [
                {
                    "step": step,
                    "label": classes[label],
                    "probability": probability,
                    "readiness": readiness,
                }
                for step, label, probability, readiness in kept
            ]
        )
    return found


def _shown(values: NDArray[np.floating[Any]]) -> list[Any]:
    """Round for people, -inf as None; all at once, for one by one took half of a decision."""
    rounded = values.astype(np.float64).round(DIGITS)
    shown = rounded.astype(object)
    shown[~np.isfinite(rounded)] = None
    answer: list[Any] = shown.tolist()
    return answer


def explanations(
    layout: Layout, detector: Detector, rows: Rows, at: Index, labels: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the classifier's reasons for the labels of some rows, as JSON values.

    From the states alone; `labels` has a class index for each row of `at`.
    """
    state = part(rows, "m", layout.model_fields, at)
    return [
        _explanation(detector.classifier.explain(state, i, label))
        for i, label in enumerate(labels)
    ]


def _explanation(found: Explanation) -> dict[str, Any]:
    return {
        "method": found.method,
        "contributions": [
            {"step": item.step, "weight": item.weight, "evidence": dict(item.evidence)}
            for item in found.contributions
        ],
        "rest": found.rest,
        "unit": found.unit,
    }
