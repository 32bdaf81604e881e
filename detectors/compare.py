"""Several stopping rules on the same answers of the same classifiers, at equal promise.

A classifier is fitted once a data set. Each rule, a readiness signal under a control, is
calibrated on the calibration part and judged on the test part, both scored by the engine that
serves.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectors.calibrate import calibrate
from detectors.errors import ConfigError
from detectors.split import divide
from detectors.train import default_horizon, fit_classifier, uncalibrated
from stopping.gap import report_gap
from stopping.pvalues import exceeds
from stopping.thresholds import halt_steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from detectors.config import DetectorConfig, RuleConfig
    from detectors.datasets import Dataset
    from detectors.scoring import Scored, Scorer, StreamSet
    from detectors.train import Progress
    from stopping.gap import GapReport

SIGNALS = ("correctness", "max_probability")
CONTROLS = ("conditional", "marginal")
SIGNIFICANCE = 0.01
"""Of the exact test of the promise on the test part; shared among the steps it is asked for."""
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """A readiness signal under a control, written ``signal/control``."""

    signal: str
    control: str

    def __str__(self) -> str:
        return f"{self.signal}/{self.control}"


@dataclass(frozen=True, slots=True)
class Row:
    """What one rule did on one data set."""

    dataset: str
    rule: str
    control: str
    time_used: float
    accuracy: float
    late_accuracy: float
    gap: float
    max_conditional_gap: float | None
    n_calibration: int
    n_test: int
    certifies: bool
    """Whether any early stop was certified."""
    violated: bool
    """Whether the exact test rejects the promise on the test part."""


def parse_rule(text: str) -> Rule:
    """Return the rule that ``signal/control`` names; raises ConfigError.

    >>> str(parse_rule("max_probability/marginal"))
    'max_probability/marginal'
    """
    signal, _, control = text.partition("/")
    if signal not in SIGNALS or control not in CONTROLS:
        known = ", ".join(f"{s}/{c}" for s in SIGNALS for c in CONTROLS)
        source, detail = "the rules", f"{text!r} is none of {known}"
        raise ConfigError(source, detail)
    return Rule(signal, control)


def compare(
    config: DetectorConfig,
    dataset: Dataset,
    rules: Sequence[Rule],
    scorer: Scorer,
    *,
    progress: Progress,
    cache: Path | None = None,
) -> Iterator[Row]:
    """Yield what each rule does on a data set, in the order given.

    Parameters
    ----------
    config
        Classifier, alpha, delta and seed; its own signal and control do not count.
    rules
        Those whose signal the classifier does not give are left out.
    cache
        Folder of finished rows, by what they were computed from; None = nothing is kept.
    """
    left = [rule for rule in rules if _kept(cache, config, dataset, rule) is None]
    answers = _Answers(config, dataset, scorer, progress) if left else None
    for rule in rules:
        row = _kept(cache, config, dataset, rule)
        if row is None and answers is not None:
            row = answers.row(rule)
            if row is None:
                continue
            _keep(cache, config, dataset, rule, row)
        if row is not None:
            yield row


class _Answers:
    """One data set's classifier, and what it answers under each signal."""

    def __init__(
        self, config: DetectorConfig, dataset: Dataset, scorer: Scorer, progress: Progress
    ) -> None:
        self._dataset, self._scorer, self._progress = dataset, scorer, progress
        self._parts = divide(dataset, config.seed)
        horizon = config.horizon or default_horizon(self._parts.fit)
        self._config = msgspec.structs.replace(config, horizon=horizon)
        self._classifier = fit_classifier(config, self._parts, horizon, progress)
        self._scored: dict[str, tuple[Scored, Scored]] = {}

    def row(self, rule: Rule) -> Row | None:
        """Calibrate and judge a rule; None if its signal reads what the classifier lacks."""
        if rule.signal == "correctness" and "correctness" not in self._classifier.auxiliary:
            return None
        calibration, test = self._answers(rule.signal)
        promised = msgspec.structs.replace(self._config.rule, control=rule.control)
        labels = self._parts.calibration.labels
        certificate = calibrate(calibration, labels, promised, self._config.seed)
        halts = halt_steps(test.readiness, certificate.threshold_array(), test.length)
        report = report_gap(halts, test.predicted, self._parts.test.labels, test.length)
        worst = report.halted.worst()
        return Row(
            dataset=self._dataset.name, rule=str(rule), control=rule.control,
            time_used=report.time_used, accuracy=report.accuracy,
            late_accuracy=report.late_accuracy, gap=report.gap,
            max_conditional_gap=None if worst is None else worst.gap,
            n_calibration=len(labels), n_test=report.n, certifies=certificate.certifies,
            violated=_violated(report, promised),
        )  # fmt: skip

    def _answers(self, signal: str) -> tuple[Scored, Scored]:
        if signal not in self._scored:
            config = msgspec.structs.replace(self._config, signal=signal)
            waiting = uncalibrated(config, self._classifier)
            self._scored[signal] = (
                self._score(waiting, self._parts.calibration),
                self._score(waiting, self._parts.test),
            )
        return self._scored[signal]

    def _score(self, waiting: Any, streams: StreamSet) -> Scored:  # noqa: ANN401  # a Detector
        with self._progress(f"{self._dataset.name}, {streams.split}", len(streams)) as advance:
            return self._scorer(waiting, streams, advance)


def _violated(report: GapReport, rule: RuleConfig) -> bool:
    """Return whether the test part says that the promise does not hold, by an exact test.

    Overall for marginal control; for conditional control at every step, the level shared.
    """
    if rule.control == "marginal":
        return exceeds(report.losses, report.n, rule.alpha, significance=SIGNIFICANCE)
    tally = report.halted
    asked = [(g, m) for g, m in zip(tally.losses, tally.halted, strict=True) if m]
    share = SIGNIFICANCE / max(len(asked), 1)
    return any(exceeds(g, m, rule.alpha, significance=share) for g, m in asked)


def _key(config: DetectorConfig, dataset: Dataset, rule: Rule) -> str:
    """Return what a row depends on, as a name; code of another format makes other rows."""
    said = {
        "format": FORMAT, "dataset": dataset.sha256, "rule": str(rule), "seed": config.seed,
        "classifier": config.classifier.table(), "horizon": config.horizon,
        "alpha": config.rule.alpha, "delta": config.rule.delta, "mode": config.rule.mode,
    }  # fmt: skip
    text = json.dumps(said, sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _kept(cache: Path | None, config: DetectorConfig, dataset: Dataset, rule: Rule) -> Row | None:
    if cache is None:
        return None
    path = cache / f"{_key(config, dataset, rule)}.json"
    try:
        return Row(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None  # not there, or not whole: it is computed anew


def _keep(
    cache: Path | None, config: DetectorConfig, dataset: Dataset, rule: Rule, row: Row
) -> None:
    if cache is None:
        return
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{_key(config, dataset, rule)}.json"
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(asdict(row)))
    draft.replace(path)


def front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that no other beats in both time used and accuracy, the earliest first.

    >>> base = Row("d", "r", "marginal", 0.5, 0.9, 0.95, 0.05, None, 10, 10, True, False)
    >>> from dataclasses import replace
    >>> worse = replace(base, time_used=0.6)
    >>> front([worse, base]) == [base]
    True
    """
    kept: list[Row] = []
    best = -np.inf
    for row in sorted(rows, key=lambda row: (row.time_used, -row.accuracy)):
        if row.accuracy > best:
            kept.append(row)
            best = row.accuracy
    return kept
