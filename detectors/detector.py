"""A detector: one classifier, one signal and one stopping rule under a name and a version."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from detectors.config import DetectorConfig
    from models.protocol import Classifier
    from stopping.signals.protocol import Signal


@dataclass(frozen=True)
class Detector:
    """Everything that is needed to answer one stream; never changed once built.

    Two detectors with the same name and version give the same decisions: the version is the
    fingerprint of configuration, classifier and thresholds (`detectors.artefact.fingerprint`).
    """

    name: str
    version: str
    config: DetectorConfig
    classifier: Classifier
    signal: Signal
    thresholds: NDArray[np.float64]
    """float64 [horizon]; step t (from 1) halts if readiness >= thresholds[t - 1]; inf = never."""
    horizon: int
    """Steps after which a decision is due whatever happens."""
    shadow_share: float
    """Share of halted streams that are scored on to their end, in [0, 1]."""
    certificate: Mapping[str, Any]
    """What was promised and on what ground; JSON values, stored with every decision."""
    card: Mapping[str, Any]
    """The model card; empty until the training run has evaluated the detector."""
    alarm: int | None = None
    """Under a one-sided rule, the class index that alone may be answered early. Its step counts
    as any other: a stream that is not ready at its last step either is answered with another."""
