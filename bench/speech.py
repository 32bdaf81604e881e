"""Measure the promise on spoken digits, and how long before the end of the word they are decided.

    TOCSIN_DATA_DIR=DIR python -m bench.speech [--seeds 3] [--resplits 20] [--json F.json]
                                               [--models DIR] [--choose] [--set NAME=VALUE ...]
                                               [--signal NAME] [--without SPEAKER]

One classifier a seed learns from a part of the official train part of the Free Spoken Digit
Dataset. The recordings that it never learns from, 15 of each speaker and digit, and the
official test part are one pool, which is divided anew a number of times, two thirds to choose the
thresholds and one third to count. Every part has the same six speakers: nothing here is about new
ones. Options are chosen with ``--choose``, which sees neither the pool nor the official test part
(a third of what is else learned from stands for them), and ``--set``, which replaces an option of
``[classifier]``, as in ``--set weight_decay=0 --set augment.speed=0.2``.
``--without theo`` leaves all recordings by one speaker out of everything, and then counts on them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from scipy.stats import beta, binom

from bench.resplits import LEVEL, taken
from bench.speech_engine import check
from bench.speech_parts import carve, swept
from detectors import config as configs
from detectors import datasets
from detectors.audio import FRAME_MS
from detectors.calibrate import calibrate
from detectors.train import default_horizon, fit_classifier
from models.frames.lstm import LstmClassifier, load
from stopping.gap import report_gap
from stopping.thresholds import halt_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.speech_parts import Carved, Recordings
    from detectors.config import DetectorConfig
    from detectors.scoring import Scored
    from detectors.split import Parts

ACCURACY_BAR, TIME_BAR, REJECTED_BAR = 0.97, 0.40, 0.05
RESPLIT_SEED = 2000
CALIBRATION_SHARE = 2 / 3
"""Of the pool; the share that Ringel et al. (2024) use."""
SHARES = (0.2, 0.5, 1.0)
RECORD_FRAMES = (1, 5, 10)
"""Frames in a record, for the time used where a record must be full before it is sent."""
CHECKED_FRAMES = 5
"""Frames in a record when the engine is checked."""
STEPS_TIMED = 50


def run(
    config: DetectorConfig,
    carved: Carved,
    seeds: Sequence[int],
    resplits: int,
    models: Path | None,
) -> dict[str, Any]:
    """Return everything that is measured, as JSON values."""
    parts, pool = carved.parts, carved.pool
    horizon = default_horizon(parts.fit)
    rows: list[dict[str, Any]] = []
    found: dict[str, dict[Any, Any]] = {"training_s": {}, "accuracy": {}, "stranger": {}}
    for seed in seeds:
        chosen = _seeded(config, seed)
        classifier, seconds = _classifier(chosen, parts, horizon, models, f"speech-{seed}")
        found["training_s"][seed] = seconds
        scored = swept(classifier, pool.streams, horizon, config.signal)
        if seed == seeds[0]:
            _check(chosen, classifier, scored, pool)
            found["cost"] = _cost(classifier)
        found["accuracy"][seed] = _accuracies(scored, pool)
        rows += [_resplit(config, seed, k, scored, pool) for k in range(resplits)]
        if carved.stranger is not None:
            theirs = swept(classifier, carved.stranger.streams, horizon, config.signal)
            found["stranger"][seed] = _counted(
                config, seed, (scored, pool), (theirs, carved.stranger)
            )
    return {
        "config": configs.document(config),
        "machine": _machine(),
        "horizon": horizon,
        "n": {
            "fit": len(parts.fit), "tuning": len(parts.tuning),
            "pool": len(pool.streams), "official": int(pool.official.sum()),
        },
        **found,
        "resplits": _summary(rows, seeds),
        "rows": rows,
    }  # fmt: skip


def bars(measured: dict[str, Any]) -> dict[str, bool]:
    """Return which of the bars are kept."""
    found = measured["resplits"]
    least = min(each["official"]["accuracy"] for each in measured["accuracy"].values())
    return {
        f"full-utterance accuracy on the official part >= {ACCURACY_BAR}, every seed": least
        >= ACCURACY_BAR,
        f"time used <= {TIME_BAR}": found["time_used"]["mean"] <= TIME_BAR,
        f"rejected <= {REJECTED_BAR:.0%}": found["rejected"]["any"]
        <= REJECTED_BAR * found["calibrations"],
    }


def _resplit(
    config: DetectorConfig, seed: int, resplit: int, scored: Scored, pool: Recordings
) -> dict[str, Any]:
    """Calibrate on a random part of the pool and count on the rest."""
    n = len(pool.streams)
    order = np.random.default_rng(RESPLIT_SEED + resplit).permutation(n)
    first, second = np.split(order, [round(CALIBRATION_SHARE * n)])
    halves = [(taken(scored, rows), pool.subset(rows)) for rows in (first, second)]
    return {"seed": seed, "resplit": resplit, **_counted(config, resplit, *halves)}


def _counted(
    config: DetectorConfig,
    seed: int,
    calibration: tuple[Scored, Recordings],
    tested: tuple[Scored, Recordings],
) -> dict[str, Any]:
    """Calibrate on one part (answers, recordings), count on the other."""
    labels = calibration[1].streams.labels
    certificate = calibrate(calibration[0], labels, config.rule, seed=seed)
    test, recordings = tested
    truth, ends = recordings.streams.labels, test.length
    steps = halt_steps(test.readiness, certificate.threshold_array(), ends)
    report = report_gap(steps, test.predicted, truth, ends, shares=SHARES)
    return {
        "n_calibration": len(labels),
        "n_test": len(truth),
        "late_accuracy": report.late_accuracy,
        "accuracy": report.accuracy,
        "time_used": report.time_used,
        "time_used_by_record": {
            k: float((np.minimum(-(-steps // k) * k, recordings.streams.lengths) / ends).mean())
            for k in RECORD_FRAMES
        },
        "before_the_end": float((steps < ends).mean()),
        "before_the_word_ends": float((steps < recordings.word_ends).mean()),
        "ms_saved": float((ends - steps).mean() * FRAME_MS),
        "ms_saved_median": float(np.median(ends - steps) * FRAME_MS),
        "ms_used": float(steps.mean() * FRAME_MS),
        "gap": {str(at.share): at.gap for at in report.gap_at},
        "rejected": {
            str(at.share): bool(binom.sf(at.losses - 1, at.n, config.rule.alpha) <= LEVEL)
            for at in report.gap_at
        },
        "waits": not certificate.certifies,
    }


def _summary(rows: list[dict[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Return means, spreads and counts over all seeds and re-splits."""
    found: dict[str, Any] = {"calibrations": len(rows)}
    for name in (
        "late_accuracy", "accuracy", "time_used", "before_the_end", "before_the_word_ends",
        "ms_saved", "ms_saved_median", "ms_used",
    ):  # fmt: skip
        found[name] = _spread([row[name] for row in rows])
    for name in ("gap", "time_used_by_record"):
        found[name] = {key: _spread([row[name][key] for row in rows]) for key in rows[0][name]}
    found["time_used_by_seed"] = {
        seed: _spread([row["time_used"] for row in rows if row["seed"] == seed]) for seed in seeds
    }
    found["above_alpha"] = {
        share: sum(row["gap"][share] > 0.1 for row in rows) for share in rows[0]["gap"]
    }
    found["rejected"] = {
        **{share: sum(row["rejected"][share] for row in rows) for share in rows[0]["rejected"]},
        "any": sum(any(row["rejected"].values()) for row in rows),
    }
    found["nothing_certified"] = sum(row["waits"] for row in rows)
    return found


def _accuracies(scored: Scored, pool: Recordings) -> dict[str, Any]:
    """Return the full-utterance accuracy on both parts of the pool, with exact intervals."""
    right = scored.late_label == pool.streams.labels
    return {
        name: _interval(int(right[rows].sum()), int(rows.sum()))
        for name, rows in (("official", pool.official), ("held_out", ~pool.official))
        if rows.any()
    }


def _cost(classifier: LstmClassifier) -> dict[str, Any]:
    """Return the bytes of a state, and the least time of a step in microseconds a stream."""
    step_us = {}
    for n in (1, 500):
        state = classifier.start(n)
        frames = np.random.default_rng(0).normal(0, 1000, (n, len(classifier.channels)))
        inputs, times = frames.astype(np.float32), []
        for _ in range(STEPS_TIMED):
            started = time.perf_counter()
            state, _ = classifier.step(state, inputs)
            times.append(time.perf_counter() - started)
        step_us[n] = min(times) / n * 1e6
    one = classifier.start(1)
    return {"state_bytes": sum(x.nbytes for x in one.values()), "step_us_a_stream": step_us}


def _interval(right: int, n: int) -> dict[str, Any]:
    """Return a share with its exact (Clopper-Pearson) 95 % interval."""
    low = float(beta.ppf(0.025, right, n - right + 1)) if right else 0.0
    high = float(beta.ppf(0.975, right + 1, n - right)) if right < n else 1.0
    return {"accuracy": right / n, "right": right, "n": n, "interval": [low, high]}


def _check(
    config: DetectorConfig, classifier: LstmClassifier, scored: Scored, pool: Recordings
) -> None:
    """Stop unless the engine gives what the sweep gives, on the official part if it is there."""
    certificate = calibrate(scored, pool.streams.labels, config.rule, seed=0)
    rows = np.flatnonzero(pool.official if pool.official.any() else ~pool.official)
    check(
        config, classifier, pool.streams.subset(rows), taken(scored, rows),
        certificate.threshold_array(), CHECKED_FRAMES,
    )  # fmt: skip


def _with(config: DetectorConfig, changes: Sequence[str]) -> DetectorConfig:
    """Return the configuration with some of its classifier's options replaced."""
    whole = configs.table(config)
    for change in changes:
        path, _, value = change.partition("=")
        *tables, name = path.split(".")
        table = whole["classifier"]
        for key in tables:
            table = table[key]
        table[name] = json.loads(value)
    return configs.build(**{name: value for name, value in whole.items() if name != "schema"})


def _seeded(config: DetectorConfig, seed: int) -> DetectorConfig:
    options = msgspec.structs.replace(config.classifier.options, seed=seed)
    classifier = msgspec.structs.replace(config.classifier, options=options)
    return msgspec.structs.replace(config, classifier=classifier)


def _classifier(
    config: DetectorConfig, parts: Parts, horizon: int, models: Path | None, name: str
) -> tuple[LstmClassifier, dict[str, float]]:
    """Fit a classifier, or read the one that an earlier run with the same options left.

    The seconds that it took come with it.
    """
    made_of = json.dumps({**config.classifier.table(), "n_fit": len(parts.fit)}, sort_keys=True)
    folder = None if models is None else models / name
    if folder is not None and (folder / "made.json").is_file():
        note = json.loads((folder / "made.json").read_text())
        if note["of"] != made_of:
            sys.exit(f"{folder} was made with other options; remove it.")
        return load(folder), note["seconds"]
    started, worked = time.perf_counter(), time.process_time()
    fitted = fit_classifier(config, parts, horizon, _silent)
    seconds = {
        "wall_s": round(time.perf_counter() - started, 1),
        "cpu_s": round(time.process_time() - worked, 1),
    }
    print(f"fitted {name}: {json.dumps(seconds)}", file=sys.stderr)
    if not isinstance(fitted, LstmClassifier):
        sys.exit("the sweep needs an LSTM.")
    if folder is not None:
        fitted.save(folder)
        (folder / "made.json").write_text(json.dumps({"of": made_of, "seconds": seconds}))
    return fitted, seconds


@contextmanager
def _silent(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _n: None


def _spread(values: Sequence[float]) -> dict[str, float]:
    array = np.array(values)
    return {
        "mean": float(array.mean()),
        "sd": float(array.std(ddof=1)) if len(array) > 1 else 0.0,
        "min": float(array.min()),
        "max": float(array.max()),
    }


def _machine() -> dict[str, Any]:
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
    }


def _table(measured: dict[str, Any]) -> str:
    found = measured["resplits"]
    lines = ["| | mean | sd | least | most |", "| --- | ---: | ---: | ---: | ---: |"]
    rows = {
        name.replace("_", " "): found[name]
        for name in (
            "late_accuracy", "accuracy", "time_used", "before_the_end", "before_the_word_ends",
            "ms_saved", "ms_saved_median", "ms_used",
        )
    }  # fmt: skip
    rows |= {f"gap, earliest {float(k):.0%}": v for k, v in found["gap"].items()}
    rows |= {f"time used, {k} frames a record": v for k, v in found["time_used_by_record"].items()}
    for name, x in rows.items():
        lines.append(
            f"| {name} | {x['mean']:.4f} | {x['sd']:.4f} | {x['min']:.4f} | {x['max']:.4f} |"
        )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Measure, print, and say whether the bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, choices=range(1, 100), default=3, metavar="N")
    parser.add_argument("--resplits", type=int, default=20)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--models", type=Path, help="keep the fitted classifiers here")
    parser.add_argument("--choose", action="store_true", help="look at the fitting part alone")
    parser.add_argument("--without", metavar="SPEAKER", help="leave out, and count on, a speaker")
    parser.add_argument("--signal", choices=("max_probability", "correctness"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args(arguments)
    if "TOCSIN_DATA_DIR" not in os.environ:
        parser.error("set TOCSIN_DATA_DIR to the folder that holds fsdd/fsdd.npz.")
    config = _with(configs.read(datasets.BUNDLED / "speech.toml"), chosen.set)
    config = msgspec.structs.replace(config, signal=chosen.signal or config.signal)
    data_dir = Path(os.environ["TOCSIN_DATA_DIR"])
    dataset = datasets.load(config.dataset, data_dir)
    carved = carve(dataset, data_dir, choose=chosen.choose, stranger=chosen.without)
    measured = run(config, carved, range(chosen.seeds), chosen.resplits, chosen.models)
    print(_table(measured))
    for name in ("time_used_by_seed", "above_alpha", "rejected", "nothing_certified"):
        print(name, json.dumps(measured["resplits"][name]))
    for name in ("accuracy", "stranger", "training_s", "cost", "n", "horizon"):
        print(name, json.dumps(measured[name]))
    usual = not (chosen.choose or chosen.without or chosen.set or chosen.signal)
    kept = bars(measured) if usual else {}
    print(json.dumps({"bars": kept}))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({**measured, "bars": kept}, indent=1) + "\n")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
