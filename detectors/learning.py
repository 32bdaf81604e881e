"""New versions of a detector that learns while it serves.

The classifier takes lessons; the guarantee does not come along by itself. Each new version is
scored on the recorded calibration streams anew, by the engine that serves, and gets thresholds and
a certificate of its own; delta is spent once a version, not once for all of them. No lesson is
taken from those streams. What remains of them in the lessons is that a served stream is read up to
its decision, whose thresholds came from them: see `docs/online.md`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from detectors import artefact, card
from detectors.calibrate import calibrate
from detectors.errors import LearningError
from detectors.evaluate import evaluation
from detectors.split import divide
from detectors.train import uncalibrated
from models.online.classifier import RiverClassifier
from models.online.lessons import Lessons

if TYPE_CHECKING:
    from collections.abc import Iterable

    from detectors.datasets import Dataset
    from detectors.detector import Detector
    from detectors.scoring import Scorer, StreamSet

LEARNED = "learned"
"""Entry of the card that says from what a version learned."""


class Position(NamedTuple):
    """Which labels a version has dealt with."""

    upto: int = 0
    """Id of the last label that was looked at."""
    waiting: tuple[int, ...] = ()
    """Earlier ones that were put off, their streams not being there or not decided yet."""


class Learner:
    """Takes lessons for one detector, and makes versions of what was learned.

    Parameters
    ----------
    detector
        Where to begin: the active version.
    dataset
        The set that it was trained on; its calibration part makes the certificates.
    scorer
        The engine; every stream a shadow.

    Raises
    ------
    LearningError
        If the detector's classifier does not learn, or the set is not the one it was trained on.
    """

    def __init__(self, detector: Detector, dataset: Dataset, scorer: Scorer) -> None:
        classifier = learning(detector)
        trained_on = detector.card.get("data", {}).get("sha256")
        if trained_on != dataset.sha256:
            message = (
                f"{detector.name} was trained on a set with the SHA-256 {trained_on}, but "
                f"{dataset.name} has {dataset.sha256} now. Put back the set that it was trained "
                "on, for its calibration part must be one that nothing was learned from; or train "
                "the detector anew on this one."
            )
            raise LearningError(message)
        self._began, self._description = detector, classifier.description
        self._dataset, self._scorer = dataset, scorer
        self._parts = divide(dataset, detector.config.seed)
        self._kept_apart = _ids(self._parts.calibration) | _ids(self._parts.test)
        options = self._description.options
        self._lessons = Lessons(
            classifier.learned, alpha=options.alpha, least_streams=options.least_streams
        )
        self.n_lessons = 0
        """Since the version that was begun with, or made last."""

    def may_learn(self, stream_id: str) -> bool:
        """Return whether a stream is none that versions are calibrated or tested on.

        Recorded streams keep their ids when they are replayed into a service.
        """
        return stream_id not in self._kept_apart

    def learn(self, text: str, label: str) -> None:
        """Take one labelled stream's words; raises KeyError for a label that is no class."""
        self._lessons.learn(text, label)
        self.n_lessons += 1

    def version(self, position: Position, *, made_on: str) -> Detector:
        """Return a new version of the detector, calibrated and tested; learning goes on from it.

        Parameters
        ----------
        position
            The labels dealt with; the next learner goes on behind them.
        made_on
            Date for the card.
        """
        began, parts = self._began, self._parts
        classifier = RiverClassifier(self._description, self._lessons.learned())
        waiting = uncalibrated(began.config, classifier)
        scored = self._scorer(waiting, parts.calibration)
        labels, config = parts.calibration.labels, began.config
        certificate = calibrate(scored, labels, config.rule, config.seed, waiting.alarm)
        made = replace(
            waiting,
            version=artefact.version_of(config, classifier, certificate.thresholds),
            thresholds=certificate.threshold_array(),
            certificate=certificate.to_json(),
        )
        numbers = evaluation(
            self._scorer(made, parts.test), parts.test, made.alarm, made.thresholds
        )
        written = card.write(
            config, made.version, self._dataset, parts, certificate, numbers, made_on
        )
        written[LEARNED] = {
            "from_version": began.version,
            "labels": n_labels(began) + self.n_lessons,
            "labels_up_to": position.upto,
            "labels_waiting": list(position.waiting),
        }
        self._began = replace(made, card=written)
        self.n_lessons = 0
        return self._began


def labels_up_to(detector: Detector) -> Position:
    """Return which labels a version has dealt with; one that was only trained, with none."""
    said = detector.card.get(LEARNED, {})
    waiting = tuple(int(each) for each in said.get("labels_waiting", ()))
    return Position(int(said.get("labels_up_to", 0)), waiting)


def n_labels(detector: Detector) -> int:
    """Return how many labels a version and those before it learned from."""
    return int(detector.card.get(LEARNED, {}).get("labels", 0))


def go_on(active: Detector, retired: Iterable[Detector]) -> Position:
    """Return behind which labels to go on from the active version.

    What a retired version learned from is not learned again: that is how a wrong turn is undone
    for good. A version that is merely not active counts for nothing: whoever made it may have
    been ended before it could be made active, and its labels are learned anew.
    """
    position = labels_up_to(active)
    upto = max(labels_up_to(detector).upto for detector in (active, *retired))
    return position if upto <= position.upto else Position(upto)


def learns(detector: Detector) -> bool:
    """Return whether a detector's classifier can learn while it serves."""
    return isinstance(detector.classifier, RiverClassifier)


def learning(detector: Detector) -> RiverClassifier:
    """Return a detector's classifier; raises LearningError if it cannot learn while it serves."""
    if not isinstance(detector.classifier, RiverClassifier):
        message = (
            f"{detector.name} is of the kind {detector.config.classifier.kind}, which does not "
            "learn while it serves. Train one that does with `tocsin train DATASET --model river`."
        )
        raise LearningError(message)
    return detector.classifier


def _ids(streams: StreamSet) -> frozenset[str]:
    return frozenset(streams.stream_id(i) for i in range(len(streams)))
