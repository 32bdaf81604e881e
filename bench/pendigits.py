"""Measure whether the promise holds on PenDigits, and what deciding early costs there.

    python -m bench.pendigits [--seeds 5] [--resplits 20] [--json F.json] [--models DIR]

Trains one classifier a seed on the train part; divides the archive's test part (calibration and
test part of the bundled set together) anew into halves a number of times; calibrates on the one
and counts on the other. Then the same with a classifier fitted on one half of the train part and
thresholds calibrated on the other half, drawings by the *training* writers: the example of a
promise that is broken because calibration and traffic are not exchangeable.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from bench.resplits import PROMISED_SHARES, Outcome, outcome, summary, swept, taken
from detectors import config as configs
from detectors import datasets
from detectors.split import divide
from detectors.train import fit_classifier, uncalibrated
from models.frames.lstm import LstmClassifier, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from detectors.config import DetectorConfig
    from detectors.datasets import Dataset
    from detectors.scoring import Scored, StreamSet

LATE_ACCURACY_BAR, TIME_BAR, REJECTED_BAR = 0.96, 0.60, 0.05
RESPLIT_SEED = 1000
HORIZON = 8


def run(seeds: Sequence[int], resplits: int, models: Path | None) -> dict[str, Any]:
    """Return everything that is measured, as JSON values."""
    config = configs.read(datasets.BUNDLED / "pendigits.toml")
    dataset = datasets.load(config.dataset)
    pool = [dataset.parts[name] for name in ("calibration", "test")]
    labels = np.concatenate([part.labels for part in pool])
    held_out = _without_half(dataset)
    honest: list[Outcome] = []
    control: list[Outcome] = []
    broken: list[Outcome] = []
    seconds: dict[str, float] = {}
    for seed in seeds:
        chosen = _seeded(config, seed)
        classifier = _classifier(chosen, dataset, models, f"all-{seed}", seconds)
        if seed == seeds[0]:
            _check_engine(chosen, classifier, pool[1])
        honest += _honest(chosen, seed, resplits, _joined(classifier, pool), labels)
        classifier = _classifier(chosen, held_out, models, f"half-{seed}", seconds)
        scored = _joined(classifier, pool)
        control += _honest(chosen, seed, resplits, scored, labels)
        theirs = held_out.parts["calibration"]
        calibration = (swept(classifier, theirs), theirs.labels)
        broken += _broken(chosen, seed, resplits, calibration, scored, labels)
    return {
        "config": configs.document(config),
        "machine": _machine(),
        "training_s": seconds,
        "n_calibration": len(labels) // 2,
        "n_test": len(labels) - len(labels) // 2,
        "other_writers": summary(honest, config.rule.alpha),
        "other_writers_half_trained": summary(control, config.rule.alpha),
        "training_writers": summary(broken, config.rule.alpha),
        "outcomes": [msgspec.to_builtins(found) for found in honest],
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
            sys.exit(f"{folder} was made with other options; remove it.")
        return load(folder)
    started = time.perf_counter()
    fitted = fit_classifier(config, divide(dataset, config.seed), HORIZON, _silent)
    seconds[name] = time.perf_counter() - started
    print(f"fitted {name} in {seconds[name]:.0f} s", file=sys.stderr)
    if not isinstance(fitted, LstmClassifier):
        sys.exit("the sweep needs an LSTM.")
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
        sys.exit(f"sweep and engine differ, readiness by up to {worst}.")


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
    columns = [
        "late",
        "early",
        "time used",
        "gap",
        "gap@50%",
        "gap@20%",
        "above alpha",
        "rejected",
    ]
    lines = [f"| calibrated on | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for title, key in (
        ("drawings by the same writers as the test", "other_writers"),
        ("the same, classifier fitted on half the train part", "other_writers_half_trained"),
        ("drawings by the training writers, that same classifier", "training_writers"),
    ):
        found = measured[key]
        cells = [
            f"{found[name]['mean']:.4f} ({found[name]['sd']:.4f})"
            for name in ("late_accuracy", "accuracy", "time_used")
        ]
        cells += [f"{found['gap'][name]['mean']:.4f}" for name in PROMISED_SHARES]
        for what in ("above_alpha", "rejected"):
            counts = "/".join(str(found[what][name]) for name in PROMISED_SHARES)
            cells.append(f"{found[what]['any']} of {found['calibrations']} ({counts})")
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
    for key in ("other_writers", "other_writers_half_trained", "training_writers"):
        print(f"{key}: nothing certified in {measured[key]['waits_for_the_end']}")
        print(key, json.dumps({k: v for k, v in measured[key].items() if "by_seed" in k}))
    print(json.dumps({"bars": measured["bars"], "training_s": measured["training_s"]}))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0 if all(measured["bars"].values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
