"""A training run: divide, fit, calibrate, judge.

The order is the ground of the promise. The classifier is fitted on `fit` and stopped on `tuning`;
then the calibration streams are looked at, once, to choose thresholds; then the test streams are
looked at, once, to say how it went. Nothing goes back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from detectors import artefact, card, signals
from detectors.calibrate import calibrate
from detectors.detector import Detector
from detectors.evaluate import evaluation
from detectors.split import Parts, divide
from models import registry
from models.protocol import LabelledFrames

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from detectors.config import DetectorConfig
    from detectors.datasets import Dataset
    from detectors.scoring import Scorer, StreamSet
    from models.protocol import Classifier

    Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]

HORIZON_PERCENTILE = 95
UNCALIBRATED = "uncalibrated"


@dataclass(frozen=True)
class Run:
    """What a training run gave."""

    detector: Detector
    evaluation: dict[str, Any]
    """On the test part, as `detectors.evaluate.evaluation` says it."""
    parts: Parts


def report(detector: Detector) -> dict[str, Any]:
    """Return what ``tocsin train --json`` prints, as the detector's card has it."""
    test, split = detector.card["test"], detector.card["split"]
    numbers = {name: x for name, x in test.items() if name != "metrics"}
    return {
        "detector": detector.name,
        "version": detector.version,
        "n_train": split["n_fit"] + split["n_tuning"],
        "n_calibration": split["n_calibration"],
        "n_test": split["n_test"],
        "horizon": detector.horizon,
        "signal": detector.config.signal,
        "metrics": {**numbers, **test["metrics"]},
        "guarantee": detector.card["guarantee"],
    }


def train(
    config: DetectorConfig,
    dataset: Dataset,
    scorer: Scorer,
    *,
    made_on: str,
    progress: Progress,
) -> Run:
    """Make a detector of `config` from `dataset`.

    Parameters
    ----------
    scorer
        The engine; every stream a shadow.
    made_on
        Date for the card; nothing here looks at a clock.
    progress
        ``progress(title, total)`` opens a bar and yields ``advance(n)``.

    Raises
    ------
    SplitError, TrainingError, MissingInputError
    """
    parts = divide(dataset, config.seed)
    horizon = config.horizon or default_horizon(parts.fit)
    classifier = fit_classifier(config, parts, horizon, progress)
    settled = config.resolved(signal=signals.resolve(config.signal, classifier), horizon=horizon)
    waiting = uncalibrated(settled, classifier)
    with progress("calibrate", len(parts.calibration)) as advance:
        scored = scorer(waiting, parts.calibration, advance)
    certificate = calibrate(scored, parts.calibration.labels, settled.rule, settled.seed)
    detector = replace(
        waiting,
        version=artefact.version_of(settled, classifier, certificate.thresholds),
        thresholds=certificate.threshold_array(),
        certificate=certificate.to_json(),
    )
    with progress("evaluate", len(parts.test)) as advance:
        numbers = evaluation(scorer(detector, parts.test, advance), parts.test)
    written = card.write(settled, detector.version, dataset, parts, certificate, numbers, made_on)
    return Run(replace(detector, card=written), numbers, parts)


def fit_classifier(
    config: DetectorConfig, parts: Parts, horizon: int, progress: Progress
) -> Classifier:
    """Return the classifier of `config`, fitted on `parts`."""
    with progress("fit", getattr(config.classifier.options, "epochs", None)) as advance:
        return registry.train(
            config.classifier.kind, labelled(parts.fit), labelled(parts.tuning),
            config.classifier.options, horizon=horizon, advance=advance,
        )  # fmt: skip


def uncalibrated(config: DetectorConfig, classifier: Classifier) -> Detector:
    """Return a detector that always waits for the end; `config` has its horizon and signal."""
    horizon = config.horizon
    if horizon is None:
        raise ValueError(horizon)
    return Detector(
        name=config.name, version=UNCALIBRATED, config=config, classifier=classifier,
        signal=signals.create(config.signal, classifier), thresholds=np.full(horizon, np.inf),
        horizon=horizon, shadow_share=config.shadow_share, certificate={}, card={},
    )  # fmt: skip


def default_horizon(streams: StreamSet) -> int:
    """Return the 95th percentile of the streams' lengths; a length that occurs."""
    return int(np.percentile(streams.lengths, HORIZON_PERCENTILE, method="higher"))


def labelled(streams: StreamSet) -> LabelledFrames:
    """Return streams as a classifier learns from them."""
    return LabelledFrames(
        streams.frames, streams.lengths, streams.labels, streams.classes, streams.channels
    )
