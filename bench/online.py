"""Learning while serving: what a version costs, and whether the promise survives the learning.

    python -m bench.online [--draws 60] [--versions 3] [--alpha 0.1] [--delta 0.1]

First the time that one version of a detector on the bundled set `shop-talk` takes (made-up
conversations). Then, on talk of invented words of which any amount can be drawn: a detector is
trained and calibrated on a draw, serves streams, learns from their words *up to its decisions*,
is calibrated anew on the same streams, and so on. The accuracy gap of each version is measured on
a large set that nothing else sees. A promise at confidence 1 - delta may fail in a share delta of
the draws; lessons depend on the calibration streams through the thresholds before, and this shows
what of it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import beta, binom

from detectors import config, datasets
from detectors.datasets import Dataset
from detectors.learning import Learner, Position
from detectors.scoring import StreamSet
from detectors.train import train
from models.online.classifier import RiverClassifier
from streams.scoring import score

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from detectors.detector import Detector

CONFIG = """
schema = 1
name = "talk"
dataset = "{dataset}"
modality = "text"
horizon = 12
[classifier]
kind = "river"
[rule]
control = "marginal"
alpha = {alpha}
delta = {delta}
"""
CLASSES = ("no", "yes")
SIZES = {"train": 90, "val": 60, "calibration": 300, "test": 60}
SERVED, FRESH = 100, 2000
OWN, SHARED = 60, 300
"""Invented words that one class prefers, and that all use."""
SAID_OWN, DRIFT = 0.09, 1.6
"""Share of words of one's own; served streams use them more often, so that there is to learn."""


def drawn(
    random: np.random.Generator, name: str, split: str, n: int, own: float = SAID_OWN
) -> StreamSet:
    """Return n streams of 4 to 12 posts of 4 words."""
    labels = np.arange(n) % 2
    lengths = random.integers(4, 13, n)
    n_words = 4 * int(lengths.sum())
    label = np.repeat(labels, 4 * lengths)
    is_own = random.random(n_words) < own
    number = np.where(
        is_own, random.integers(0, OWN, n_words), random.integers(0, SHARED, n_words)
    )
    letter = np.where(is_own, np.where(label == 1, "y", "n"), "s").tolist()
    words = [f"{a}{_letters(int(k))}" for a, k in zip(letter, number, strict=True)]
    posts = np.empty(int(lengths.sum()), dtype=object)
    posts[:] = [" ".join(words[at : at + 4]) for at in range(0, n_words, 4)]
    rows = np.arange(n, dtype=np.int64)
    return StreamSet(
        name=name, split=split, modality="text", ids=rows, inputs=posts,
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        labels=labels.astype(np.int64), subjects=rows, classes=CLASSES, channels=("text",),
    )  # fmt: skip


def _letters(number: int) -> str:
    return "".join(chr(97 + int(digit)) for digit in f"{number:03d}")


def served_text(detector: Detector, streams: StreamSet) -> list[str]:
    """Return what each stream's state remembers when it is decided."""
    answers = score(detector, streams)
    classifier = detector.classifier
    if not isinstance(classifier, RiverClassifier):
        raise TypeError(classifier)
    texts = []
    for i, halt in enumerate(answers.halt_step.tolist()):
        state = classifier.start(1)
        for at in range(streams.offsets[i], streams.offsets[i] + halt):
            state, _ = classifier.step(state, streams.inputs[at : at + 1])
        texts.append(classifier.words_of(state, 0))
    return texts


def gap(detector: Detector, fresh: StreamSet) -> tuple[float, float]:
    """Return the accuracy gap and the share of time used on streams that nothing else saw."""
    found = score(detector, fresh)
    lost = (found.late_label == fresh.labels) & (found.label != fresh.labels)
    return float(lost.mean()), float((found.halt_step / found.length).mean())


def one_draw(seed: int, n_versions: int, alpha: float, delta: float) -> list[tuple[float, float]]:
    """Return gap and time used of each version, the trained one first."""
    random = np.random.default_rng(seed)
    parts = {part: drawn(random, "talk", part, n) for part, n in SIZES.items()}
    dataset = Dataset(name="talk", parts=parts, sha256=str(seed))
    chosen = config.parse(CONFIG.format(dataset="talk", alpha=alpha, delta=delta))
    active = train(chosen, dataset, score, made_on="bench", progress=_silent).detector
    learner = Learner(active, dataset, score)
    fresh = drawn(random, "fresh", "test", FRESH)
    found = [gap(active, fresh)]
    for version in range(1, n_versions):
        live = drawn(random, f"live-{version}", "live", SERVED, own=DRIFT * SAID_OWN)
        for text, label in zip(served_text(active, live), live.labels.tolist(), strict=True):
            learner.learn(text, CLASSES[label])
        active = learner.version(Position(), made_on="bench")
        found.append(gap(active, fresh))
    return found


def promises(n_draws: int, n_versions: int, alpha: float, delta: float) -> None:
    """Print, version by version, in how many draws the gap was above alpha."""
    draws = np.array([one_draw(seed, n_versions, alpha, delta) for seed in range(n_draws)])
    print(
        f"{n_draws} draws, alpha {alpha}, delta {delta}: a promise may fail in "
        f"{delta * n_draws:g} of them"
    )
    print("version  gap: median (10 %, 90 %)      time used  above alpha  p that delta holds")
    for version in range(n_versions):
        gaps, used = draws[:, version].T
        above = int((gaps > alpha).sum())
        low, high = np.quantile(gaps, [0.1, 0.9])
        p_value = float(binom.sf(above - 1, n_draws, delta))
        upper = float(beta.ppf(0.95, above + 1, n_draws - above))
        print(
            f"{version + 1:7d}  {np.median(gaps):.4f} ({low:.4f}, {high:.4f})       "
            f"{np.median(used):.3f}      {above:3d} (<= {upper:.3f})  {p_value:.3f}"
        )


def seconds(repeat: int) -> None:
    """Print how long a version of a detector on `shop-talk` takes, and how large a state is."""
    chosen = config.parse(CONFIG.format(dataset="shop-talk", alpha=0.05, delta=0.05))
    dataset = datasets.load("shop-talk")
    detector = train(chosen, dataset, score, made_on="bench", progress=_silent).detector
    took = []
    for nth in range(repeat):
        learner = Learner(detector, dataset, score)
        for i in range(50):
            label = detector.classifier.classes[i % 2]
            learner.learn(f"one more word {_letters(nth)} {_letters(i)}", label)
        began = time.perf_counter()
        learner.version(Position(), made_on="bench")
        took.append(time.perf_counter() - began)
    n = len(dataset.parts["calibration"]), len(dataset.parts["test"])
    state = sum(array.nbytes for array in detector.classifier.start(1).values())
    print(
        f"a version of shop-talk ({n[0]} calibration, {n[1]} test streams): median "
        f"{statistics.median(took):.2f} s ({min(took):.2f} to {max(took):.2f}, {repeat} runs)"
    )
    print(f"the classifier's part of a stream's state: {state} bytes")


@contextmanager
def _silent(title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    del title, total
    yield lambda n: None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--versions", type=int, default=3)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--delta", type=float, default=0.1)
    parser.add_argument("--repeat", type=int, default=5)
    chosen = parser.parse_args()
    seconds(chosen.repeat)
    promises(chosen.draws, chosen.versions, chosen.alpha, chosen.delta)


if __name__ == "__main__":
    main()
