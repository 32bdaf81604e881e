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
from detectors.errors import CONFIGURATION, ConfigError
from detectors.evaluate import evaluation
from detectors.split import Parts, divide
from models import registry
from models.protocol import LabelledStreams

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
    check_modality(config, dataset)
    parts = divide(dataset, config.seed)
    horizon = config.horizon or default_horizon(parts.fit)
    classifier = fit_classifier(config, parts, horizon, progress)
    signal = signals.resolve(config.signal, classifier, config.rule)
    settled = config.resolved(signal=signal, horizon=horizon)
    waiting = uncalibrated(settled, classifier)
    with progress("calibrate", len(parts.calibration)) as advance:
        scored = scorer(waiting, parts.calibration, advance)
    certificate = calibrate(
        scored, parts.calibration.labels, settled.rule, settled.seed, waiting.alarm
    )
    detector = replace(
        waiting,
        version=artefact.version_of(settled, classifier, certificate.thresholds),
        thresholds=certificate.threshold_array(),
        certificate=certificate.to_json(),
    )
    with progress("evaluate", len(parts.test)) as advance:
        numbers = evaluation(
            scorer(detector, parts.test, advance), parts.test, detector.alarm, detector.thresholds
        )
    written = card.write(settled, detector.version, dataset, parts, certificate, numbers, made_on)
    return Run(replace(detector, card=written), numbers, parts)


def check_modality(config: DetectorConfig, dataset: Dataset) -> None:
    """Raise ConfigError unless configuration, classifier and data are of one modality."""
    found = dataset.parts["train"].modality
    if config.modality != found:
        detail = f"`modality` is {config.modality}, but {dataset.name} holds {found}"
        raise ConfigError(CONFIGURATION, f"{detail} - at `$.modality`")
    reads = registry.modality(config.classifier.kind)
    if found != reads:
        detail = f"`kind` {config.classifier.kind} reads {reads}, not {found}"
        raise ConfigError(CONFIGURATION, f"{detail} - at `$.classifier.kind`")


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
    alarm = signals.alarm_class(config.rule, classifier)
    return Detector(
        name=config.name, version=UNCALIBRATED, config=config, classifier=classifier,
        signal=signals.create(config.signal, classifier, alarm),
        thresholds=np.full(horizon, np.inf), horizon=horizon, shadow_share=config.shadow_share,
        certificate={}, card={}, alarm=alarm,
    )  # fmt: skip


def default_horizon(streams: StreamSet) -> int:
    """Return the 95th percentile of the streams' lengths; a length that occurs."""
    return int(np.percentile(streams.lengths, HORIZON_PERCENTILE, method="higher"))


def labelled(streams: StreamSet) -> LabelledStreams:
    """Return streams as a classifier learns from them."""
    return LabelledStreams(
        inputs=streams.inputs, offsets=streams.offsets, labels=streams.labels,
        classes=streams.classes, channels=streams.channels, step_labels=streams.step_labels,
    )  # fmt: skip
