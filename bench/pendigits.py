"""Does the promise hold on PenDigits, and what does deciding early cost there?

    python -m bench.pendigits [--seeds 5] [--resplits 20] [--json F.json] [--models DIR]

Trains one classifier a seed on the train part; divides the archive's test part (calibration and test
part of the bundled set together) anew into calibration and test half a number of times; calibrates on
the one and counts on the other. Then the same with a classifier fitted on one half of the train part
and thresholds calibrated on the other half, drawings by the *training* writers: the example of a promise that is broken because
calibration and traffic are not exchangeable.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from scipy.stats import binom

from detectors import config as configs
from detectors import datasets
from detectors.calibrate import calibrate
from detectors.scoring import Scored, StreamSet
from detectors.split import divide
from detectors.train import fit_classifier, uncalibrated
from models.frames.lstm import LstmClassifier, load
from stopping.gap import SHARES, report_gap
from stopping.signals.rounding import rounded
from stopping.thresholds import halt_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from detectors.config import DetectorConfig
    from detectors.datasets import Dataset
    from numpy.typing import NDArray

LEVEL = 0.01
"""Of the exact one-sided test of "gap <= alpha"."""
LATE_ACCURACY_BAR, TIME_BAR, REJECTED_BAR = 0.96, 0.60, 0.05
RESPLIT_SEED = 1000
HORIZON = 8
PROMISED_SHARES = {"overall": 1.0, "earliest_50": 0.5, "earliest_20": 0.2}


@dataclass(frozen=True)
class Outcome:
    """One calibration and its test."""

    seed: int
    resplit: int
    late_accuracy: float
    accuracy: float
    time_used: float
    gap: dict[str, float]
    n: dict[str, int]
    rejected: dict[str, bool]
    """Whether the exact test says that the gap is above alpha."""

    @property
    def any_rejected(self) -> bool:
        """Whether any of the tests does."""
        return any(self.rejected.values())


def swept(classifier: LstmClassifier, streams: StreamSet) -> Scored:
    """Return the answers of one sweep, as the engine gives them step by step.

    Halting is left to the thresholds, which come later: every stream runs to its end.
    """
    probabilities, correctness = classifier.sweep(streams.frames)
    predicted = probabilities.argmax(axis=2).astype(np.int64)
    return Scored(
        readiness=rounded(correctness),
        predicted=predicted,
        probability=probabilities.max(axis=2).astype(np.float64),
        halt_step=streams.lengths,
        label=predicted[:, -1],
        late_label=predicted[:, -1],
        late_probability=probabilities[:, -1].max(axis=1).astype(np.float64),
        length=streams.lengths,
        reasons=["end"] * len(streams),
        decisions=(),
    )


def taken(scored: Scored, rows: NDArray[np.int64]) -> Scored:
    """Return the answers to some of the streams."""
    return Scored(
        readiness=scored.readiness[rows], predicted=scored.predicted[rows],
        probability=scored.probability[rows], halt_step=scored.halt_step[rows],
        label=scored.label[rows], late_label=scored.late_label[rows],
        late_probability=scored.late_probability[rows], length=scored.length[rows],
        reasons=[scored.reasons[row] for row in rows], decisions=(),
    )  # fmt: skip


def outcome(
    seed: int,
    resplit: int,
    config: DetectorConfig,
    calibration: tuple[Scored, NDArray[np.int64]],
    test: tuple[Scored, NDArray[np.int64]],
) -> Outcome:
    """Calibrate on one part (answers, labels), count and test on the other."""
    certificate = calibrate(*calibration, config.rule, seed=resplit)
    scored, labels = test
    steps = halt_steps(scored.readiness, certificate.threshold_array(), scored.length)
    report = report_gap(steps, scored.predicted, labels, scored.length, shares=SHARES)
    at = {
        name: next(x for x in report.gap_at if x.share == q) for name, q in PROMISED_SHARES.items()
    }
    return Outcome(
        seed=seed,
        resplit=resplit,
        late_accuracy=report.late_accuracy,
        accuracy=report.accuracy,
        time_used=report.time_used,
        gap={name: x.gap for name, x in at.items()},
        n={name: x.n for name, x in at.items()},
        rejected={
            name: float(binom.sf(x.losses - 1, x.n, config.rule.alpha)) <= LEVEL
            for name, x in at.items()
        },
    )


def run(seeds: Sequence[int], resplits: int, models: Path | None) -> dict[str, Any]:
    """Return everything that is measured, as JSON values."""
    config = configs.read(datasets.BUNDLED / "pendigits.toml")
    dataset = datasets.load(config.dataset)
    pool = [dataset.parts[name] for name in ("calibration", "test")]
    labels = np.concatenate([part.labels for part in pool])
    held_out = _without_half(dataset)
    honest: list[Outcome] = []
    broken: list[Outcome] = []
    seconds: dict[str, float] = {}
    for seed in seeds:
        chosen = _seeded(config, seed)
        classifier = _classifier(chosen, dataset, models, f"all-{seed}", seconds)
        if seed == seeds[0]:
            _check_engine(chosen, classifier, pool[1])
        honest += _honest(chosen, seed, resplits, _joined(classifier, pool), labels)
        classifier = _classifier(chosen, held_out, models, f"half-{seed}", seconds)
        theirs = held_out.parts["calibration"]
        calibration = (swept(classifier, theirs), theirs.labels)
        broken += _broken(chosen, seed, resplits, calibration, _joined(classifier, pool), labels)
    return {
        "config": configs.document(config),
        "machine": _machine(),
        "training_s": seconds,
        "n_calibration": len(labels) // 2,
        "n_test": len(labels) - len(labels) // 2,
        "other_writers": summary(honest),
        "training_writers": summary(broken),
        "outcomes": [msgspec.to_builtins(found) for found in honest],
    }


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return means, spreads and counts over all seeds and re-splits."""
    n = len(outcomes)
    seeds = sorted({found.seed for found in outcomes})
    late, used, right = (
        np.array([getattr(found, name) for found in outcomes])
        for name in ("late_accuracy", "time_used", "accuracy")
    )
    return {
        "calibrations": n,
        "late_accuracy": _spread(late),
        "accuracy": _spread(right),
        "time_used": _spread(used),
        "time_used_by_seed": {
            seed: float(used[[found.seed == seed for found in outcomes]].mean()) for seed in seeds
        },
        "late_accuracy_by_seed": {
            seed: float(late[[found.seed == seed for found in outcomes]].mean()) for seed in seeds
        },
        "gap": {
            name: _spread(np.array([found.gap[name] for found in outcomes]))
            for name in PROMISED_SHARES
        },
        "above_alpha": {
            name: sum(found.gap[name] > 0.1 for found in outcomes)  # noqa: PLR2004 - alpha
            for name in PROMISED_SHARES
        },
        "rejected": {
            **{name: sum(found.rejected[name] for found in outcomes) for name in PROMISED_SHARES},
            "any": sum(found.any_rejected for found in outcomes),
        },
        "rejected_share": sum(found.any_rejected for found in outcomes) / n,
    }


def bars(measured: dict[str, Any]) -> dict[str, bool]:
    """Return which of the bars are kept."""
    found = measured["other_writers"]
    return {
        f"late accuracy >= {LATE_ACCURACY_BAR}": found["late_accuracy"]["mean"]
        >= LATE_ACCURACY_BAR,
        f"time used <= {TIME_BAR}": found["time_used"]["mean"] <= TIME_BAR,
        f"rejected <= {REJECTED_BAR:.0%}": found["rejected_share"] <= REJECTED_BAR,
    }


def _halves(n: int, resplit: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.default_rng(RESPLIT_SEED + resplit).permutation(n)
    return order[: n // 2], order[n // 2 :]


def _honest(
    config: DetectorConfig, seed: int, resplits: int, scored: Scored, labels: NDArray[np.int64]
) -> list[Outcome]:
    """Calibrate on one random half of the other writers' drawings, test on the other half."""
    found = []
    for resplit in range(resplits):
        first, second = _halves(len(labels), resplit)
        calibration, test = ((taken(scored, rows), labels[rows]) for rows in (first, second))
        found.append(outcome(seed, resplit, config, calibration, test))
    return found


def _broken(
    config: DetectorConfig,
    seed: int,
    resplits: int,
    held_out: tuple[Scored, NDArray[np.int64]],
    scored: Scored,
    labels: NDArray[np.int64],
) -> list[Outcome]:
    """Calibrate on as many held-out drawings of the training writers; test as `_honest` does."""
    found = []
    for resplit in range(resplits):
        first, second = _halves(len(labels), resplit)
        random = np.random.default_rng(RESPLIT_SEED + resplit)
        rows = random.permutation(len(held_out[1]))[: len(first)]
        calibration = (taken(held_out[0], rows), held_out[1][rows])
        test = (taken(scored, second), labels[second])
        found.append(outcome(seed, resplit, config, calibration, test))
    return found


def _without_half(dataset: Dataset) -> Dataset:
    """Return the set with half of the train part as its calibration part."""
    train = dataset.parts["train"]
    learned, held_out = _halves(len(train), 0)
    parts = {"train": train.subset(learned), "calibration": train.subset(held_out)}
    return replace(dataset, parts={**parts, "test": dataset.parts["test"]})


def _seeded(config: DetectorConfig, seed: int) -> DetectorConfig:
    options = msgspec.structs.replace(config.classifier.options, seed=seed)
    classifier = msgspec.structs.replace(config.classifier, options=options)
    return msgspec.structs.replace(config, classifier=classifier)


def _classifier(
    config: DetectorConfig,
    dataset: Dataset,
    models: Path | None,
    name: str,
    seconds: dict[str, float],
) -> LstmClassifier:
    """Fit a classifier, or read the one that an earlier run with the same options left."""
    options = json.dumps(config.classifier.table(), sort_keys=True)
    folder = None if models is None else models / name
    if folder is not None and (folder / "options.json").is_file():
        if (folder / "options.json").read_text() != options:
            raise SystemExit(f"{folder} was made with other options; remove it.")
        return load(folder)
    started = time.perf_counter()
    fitted = fit_classifier(config, divide(dataset, config.seed), HORIZON, _silent)
    seconds[name] = time.perf_counter() - started
    print(f"fitted {name} in {seconds[name]:.0f} s", file=sys.stderr)
    if not isinstance(fitted, LstmClassifier):
        raise SystemExit("the sweep needs an LSTM.")
    if folder is not None:
        fitted.save(folder)
        (folder / "options.json").write_text(options)
    return fitted


def _check_engine(config: DetectorConfig, classifier: LstmClassifier, part: StreamSet) -> None:
    """Stop unless the sweep gives what the serving engine gives."""
    from streams.scoring import score

    detector = uncalibrated(config.resolved(signal="correctness", horizon=HORIZON), classifier)
    served, quick = score(detector, part), swept(classifier, part)
    worst = float(np.abs(served.readiness - quick.readiness).max())
    if not np.array_equal(served.predicted, quick.predicted) or worst > 2.0**-16:
        raise SystemExit(f"sweep and engine differ, readiness by up to {worst}.")


def _joined(classifier: LstmClassifier, pool: Sequence[StreamSet]) -> Scored:
    """Return the answers to all streams of several parts."""
    first, *others = pool
    together = replace(
        first,
        **{
            name: np.concatenate([getattr(part, name) for part in (first, *others)])
            for name in ("ids", "frames", "lengths", "labels", "subjects")
        },
    )
    return swept(classifier, together)


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min": float(values.min()),
        "max": float(values.max()),
    }


def _machine() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


@contextmanager
def _silent(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _n: None


def _table(measured: dict[str, Any]) -> str:
    lines = [
        "| calibrated on | late acc. | early acc. | time used | gap | gap@50% | gap@20% | rejected |"
    ]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for title, key in (
        ("drawings by the same writers as the test", "other_writers"),
        ("held-out drawings by the training writers (half of the train part)", "training_writers"),
    ):
        found = measured[key]
        cells = [
            f"{found[name]['mean']:.4f} ({found[name]['sd']:.4f})"
            for name in ("late_accuracy", "accuracy", "time_used")
        ]
        cells += [f"{found['gap'][name]['mean']:.4f}" for name in PROMISED_SHARES]
        counts = "/".join(str(found["rejected"][name]) for name in PROMISED_SHARES)
        cells.append(f"{found['rejected']['any']} of {found['calibrations']} ({counts})")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure, print, and say whether the bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--resplits", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", type=Path, help="keep the fitted classifiers here")
    chosen = parser.parse_args(arguments)
    measured = run(range(chosen.seeds), chosen.resplits, chosen.models)
    measured["bars"] = bars(measured)
    print(_table(measured))
    for key in ("other_writers", "training_writers"):
        print(key, json.dumps({k: v for k, v in measured[key].items() if "by_seed" in k}))
    print(json.dumps({"bars": measured["bars"], "training_s": measured["training_s"]}))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0 if all(measured["bars"].values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
