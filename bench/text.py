"""Measure SS3 on text: late accuracy beside pyss3's, what deciding early costs, and speed.

    TOCSIN_DATA_DIR=... python -m bench.text [--sets S ...] [--seeds 5] [--pyss3 PYTHON]

For each set and seed the whole pipeline runs (divide, fit, calibrate with conditional control at
alpha 0.1 and delta 0.05, evaluate with the serving engine), once on the set's own division and
once after dividing all of its streams anew, by group, 70 to 30, with one test stream a group: no
text of the test part then stands in the train part, and test and calibration streams are drawn
alike, which the promise is about. With --pyss3, an interpreter that has pyss3 0.6.4 (an
environment of its own), the same fit, tuning and test streams go through `bench/text_pyss3.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import binom

from detectors import config as configs
from detectors import datasets
from detectors.split import group
from detectors.train import train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from detectors.datasets import Dataset
    from detectors.scoring import StreamSet
    from detectors.split import Parts
    from detectors.train import Run
    from models.text.ss3 import Ss3Classifier

SETS = ("sms_spam", "movie_review_polarity")
CLASSIFIER = {"kind": "ss3", "cv": "norm_gv"}
RULE = {"control": "conditional", "mode": "reference", "alpha": 0.1, "delta": 0.05}
TEST_SHARE = 0.3
REGROUP_SEED, ONE_EACH_SEED = 2000, 3000
LEVEL = 0.01
"""Of the exact one-sided test of "gap <= alpha"."""
BATCH, ROUNDS = 5000, 15
PER_SECOND_BAR = 60_000
MEASURED = ("late_accuracy", "accuracy", "gap", "time_used")


def measure(dataset: Dataset, seed: int, pyss3: str | None) -> dict[str, Any]:
    """Return the numbers of one run of the pipeline, and pyss3's late accuracies beside them."""
    from streams.scoring import score

    config = configs.build(
        name="text", dataset=dataset.name, modality="text", seed=seed, classifier=CLASSIFIER,
        rule=RULE,
    )  # fmt: skip
    started = time.process_time()
    run = train(config, dataset, score, made_on="-", progress=_silent)
    found = {name: run.evaluation[name] for name in MEASURED}
    found |= {f"gap@{share}": gap for share, gap in run.evaluation["gap_at"].items()}
    return {
        "seed": seed,
        **found,
        **_counts(run.parts),
        "majority": float(np.bincount(run.parts.test.labels).max() / len(run.parts.test)),
        "horizon": run.detector.horizon,
        "certified": bool(np.isfinite(run.detector.thresholds[:-1]).any()),
        "rejected": bool(
            binom.sf(run.evaluation["losses"] - 1, run.evaluation["n"], 0.1) <= LEVEL
        ),
        "cpu_s": time.process_time() - started,
        "pyss3": _pyss3(run, pyss3) if pyss3 else {},
    }


def regrouped(dataset: Dataset, seed: int, copies: bool) -> Dataset:
    """Return the set with all groups divided anew; tested on one stream a group, or on all."""
    whole = _joined(dataset)
    [groups] = group([whole], known=True)
    different = np.random.default_rng(REGROUP_SEED + seed).permutation(np.unique(groups))
    in_test = np.isin(groups, different[: round(TEST_SHARE * len(different))])
    order = np.random.default_rng(ONE_EACH_SEED + seed).permutation(len(whole))
    first = np.zeros(len(whole), np.bool_)
    first[order[np.unique(groups[order], return_index=True)[1]]] = True
    parts = {
        name: replace(whole.subset(np.flatnonzero(chosen)), split=name)
        for name, chosen in (("train", ~in_test), ("test", in_test & (first | copies)))
    }
    return replace(dataset, parts=parts)


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return mean and spread over the seeds, and the bar that pyss3 sets."""
    names = [*MEASURED, *(name for name in rows[0] if name.startswith("gap@"))]
    found: dict[str, Any] = {name: _spread([row[name] for row in rows]) for name in names}
    found["pyss3"] = {
        mode: _spread([row["pyss3"][mode] for row in rows])
        | {
            "ours_less_theirs": _spread(
                [row["late_accuracy"] - row["pyss3"][mode] for row in rows]
            )
        }
        for mode, value in rows[0]["pyss3"].items()
        if isinstance(value, float)
    }
    found["certified"] = sum(row["certified"] for row in rows)
    found["rejected"] = sum(row["rejected"] for row in rows)
    found["gap_above_alpha"] = sum(row["gap"] > RULE["alpha"] for row in rows)
    return found


def speed(classifier: Ss3Classifier, streams: StreamSet) -> dict[str, Any]:
    """Return posts per second of `step`: events as they are, and whole texts as one post each."""
    bounds = zip(streams.offsets[:-1], streams.offsets[1:], strict=True)
    texts = np.empty(len(streams), dtype=object)
    texts[:] = [" ".join(streams.inputs[start:stop].tolist()) for start, stop in bounds]
    found: dict[str, Any] = {}
    for name, posts in (("events", streams.inputs), ("whole texts", texts)):
        random = np.random.default_rng(0)
        state, took = classifier.start(BATCH), []
        for _ in range(ROUNDS):
            batch = posts[random.integers(0, len(posts), BATCH)]
            started = time.process_time()
            state, _ = classifier.step(state, batch)
            took.append(time.process_time() - started)
        found[name] = {
            "posts_per_s": BATCH / float(np.median(took)),
            "slowest": BATCH / max(took),
            "words_a_post": float(np.mean([len(post.split()) for post in posts])),
        }
    return found


def run(sets: list[str], seeds: range, pyss3: str | None, copies: bool) -> dict[str, Any]:
    """Return everything that is measured, as JSON values."""
    folder = Path(os.environ["TOCSIN_DATA_DIR"])
    measured: dict[str, Any] = {}
    for name in sets:
        dataset = datasets.load(name, folder)
        for division, divided in (
            ("own division", lambda _seed, whole=dataset: whole),
            ("divided anew", lambda seed, whole=dataset: regrouped(whole, seed, copies)),
        ):
            rows = [measure(divided(seed), seed, pyss3) for seed in seeds]
            measured[f"{name}, {division}"] = {"summary": summary(rows), "rows": rows}
            print(f"{name}, {division}: done", file=sys.stderr)
        measured[f"{name}, speed"] = speed(_classifier(dataset), dataset.parts["train"])
    return measured


def bars(measured: dict[str, Any]) -> dict[str, bool]:
    """Return which of the bars are kept."""
    kept = {}
    for key, found in measured.items():
        if key.endswith("speed"):
            fast = found["whole texts" if key.startswith("sms") else "events"]["posts_per_s"]
            kept[f"{key}: >= {PER_SECOND_BAR} posts a second"] = fast >= PER_SECOND_BAR
            continue
        late = found["summary"]["late_accuracy"]["mean"]
        for mode, theirs in found["summary"]["pyss3"].items():
            kept[f"{key}: late accuracy >= pyss3 ({mode})"] = late >= theirs["mean"]
    return kept


def table(measured: dict[str, Any]) -> str:
    """Return the tables of the page `docs/science/ss3.md`."""
    lines = []
    for key, found in measured.items():
        lines += ["", f"**{key}**", ""]
        if key.endswith("speed"):
            lines += [f"* {kind}: {json.dumps(numbers)}" for kind, numbers in found.items()]
            continue
        lines += ["| | mean | sd | least | most |", "| --- | ---: | ---: | ---: | ---: |"]
        total, first = found["summary"], found["rows"][0]
        rows = {name: numbers for name, numbers in total.items() if isinstance(numbers, dict)}
        for mode, numbers in rows.pop("pyss3").items():
            rows[f"late accuracy, pyss3 {mode}"] = numbers
            rows[f"ours less pyss3 {mode}"] = numbers["ours_less_theirs"]
        lines += [
            f"| {name} | " + " | ".join(f"{x[k]:.4f}" for k in ("mean", "sd", "min", "max")) + " |"
            for name, x in rows.items()
        ]
        told = ("n_fit", "n_tuning", "n_calibration", "n_test", "repeated", "horizon", "majority")
        lines += ["", f"seed 0: {json.dumps({k: first[k] for k in told})}"]
        lines += [f"early stops certified in {total['certified']} of {len(found['rows'])}"]
        lines += [f"counted gap above alpha in {total['gap_above_alpha']}"]
        lines += [f"exact 1 % test of gap <= alpha rejects in {total['rejected']}"]
    return "\n".join(lines)


def _counts(parts: Parts) -> dict[str, int]:
    return {
        "n_fit": len(parts.fit),
        "n_tuning": len(parts.tuning),
        "n_calibration": len(parts.calibration),
        "n_test": len(parts.test),
        "repeated": parts.repeated,
    }


def _joined(dataset: Dataset) -> StreamSet:
    parts = [dataset.parts[name] for name in dataset.parts]
    lengths = np.concatenate([part.lengths for part in parts])
    return replace(
        parts[0],
        split="all",
        ids=np.arange(len(lengths)),
        inputs=np.concatenate([part.inputs for part in parts]),
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        labels=np.concatenate([part.labels for part in parts]),
        subjects=np.concatenate([part.subjects for part in parts]),
    )


def _classifier(dataset: Dataset) -> Any:  # noqa: ANN401  # an Ss3Classifier
    from streams.scoring import score

    config = configs.build(
        name="text", dataset=dataset.name, modality="text", classifier=CLASSIFIER, rule=RULE
    )
    return train(config, dataset, score, made_on="-", progress=_silent).detector.classifier


def _pyss3(run: Run, python: str) -> dict[str, Any]:
    """Return what pyss3 answers to the same streams, read to their ends."""
    work = {name: _texts(getattr(run.parts, name)) for name in ("fit", "tuning", "test")}
    script = Path(__file__).with_name("text_pyss3.py")
    with tempfile.TemporaryDirectory() as folder:
        given, answered = Path(folder) / "work.json", Path(folder) / "answers.json"
        given.write_text(json.dumps(work), encoding="utf-8")
        command = [python, str(script), str(given), str(answered)]
        subprocess.run(command, check=True, capture_output=True)
        found: dict[str, Any] = json.loads(answered.read_text(encoding="utf-8"))
    return found


def _texts(streams: StreamSet) -> list[list[str]]:
    bounds = zip(streams.offsets[:-1], streams.offsets[1:], strict=True)
    texts = [" ".join(streams.inputs[start:stop].tolist()) for start, stop in bounds]
    return [texts, [streams.classes[label] for label in streams.labels]]


def _spread(values: list[float]) -> dict[str, float]:
    numbers = np.array(values)
    return {
        "mean": float(numbers.mean()),
        "sd": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        "min": float(numbers.min()),
        "max": float(numbers.max()),
    }


@contextmanager
def _silent(_title: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    yield lambda _n: None


def main(arguments: list[str]) -> int:
    """Measure, print, and say whether the bars are kept."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pyss3", help="an interpreter that has pyss3 0.6.4")
    parser.add_argument("--copies", action="store_true", help="test on all streams of a group")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args(arguments)
    if "TOCSIN_DATA_DIR" not in os.environ:
        sys.exit(f"Set TOCSIN_DATA_DIR to the folder that holds {', '.join(SETS)}.")
    measured = run(chosen.sets, range(chosen.seeds), chosen.pyss3, chosen.copies)
    kept = bars(measured)
    print(table(measured))
    print(json.dumps({"bars": kept}, indent=1))
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({**measured, "bars": kept}, indent=1) + "\n")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
