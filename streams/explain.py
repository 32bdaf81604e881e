"""What a stream keeps to account for its decision: the trajectory, and the reasons."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from streams.state import Layout, Rows, part

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from detectors.detector import Detector
    from streams.rounds import Index


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


def trajectory(classes: Sequence[str], row: np.void) -> list[dict[str, Any]]:
    """Return the kept steps, the latest one always among them, as JSON values."""
    points = row["points"][: int(row["n_points"])].tolist()
    label = int(row["probabilities"].argmax())
    latest = (int(row["t"]), label, float(row["probabilities"][label]), float(row["readiness"]))
    if not points or points[-1][0] != latest[0]:
        points.append(latest)
    return [
        {
            "step": step,
            "label": classes[index],
            "probability": round(probability, 6),
            "readiness": round(readiness, 6) if math.isfinite(readiness) else None,
        }
        for step, index, probability, readiness in points
    ]


def explanation(
    layout: Layout, detector: Detector, rows: Rows, stream: int, label: int
) -> dict[str, Any]:
    """Return the classifier's reasons for `label`, from the state alone, as JSON values."""
    at = np.array([stream])
    found = detector.classifier.explain(part(rows, "m", layout.model_fields, at), 0, label)
    return {
        "method": found.method,
        "contributions": [
            {"step": item.step, "weight": item.weight, "evidence": dict(item.evidence)}
            for item in found.contributions
        ],
        "rest": found.rest,
    }
