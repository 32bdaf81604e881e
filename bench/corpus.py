"""Measure how hard the made-up set `shop-talk` is, and what gives the class away.

    python -m bench.corpus [--seeds 5] [--corpora 5] [--write FILE.jsonl]

Classifiers that know nothing of this project learn from the train part and answer the calibration
and test parts together: a bag of words (TF-IDF, logistic regression) on the first turn, on the
first k turns and on the whole conversation; the same with pairs of words; and baselines on what
must not tell: lengths, and digits and addresses. SS3 is ours. A seed decides which 85 % of the
train part are learned from (the rest tunes SS3); a corpus is a whole set of another seed. Prints
means and standard deviations.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from detectors.corpus import SEED, conversations, parts
from models.protocol import LabelledStreams
from models.text.options import Ss3Options
from models.text.ss3_train import train as train_ss3

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from detectors.corpus import Conversation
    from detectors.scoring import StreamSet
    from models.text.ss3 import Ss3Classifier

STEPS = (1, 2, 3, 4, 6, 8, 10, 14)
FIRST_TURN_BAR, LATE_BARS = 0.75, (0.90, 0.99)
LEARNED_SHARE = 0.85
_TELLTALE = re.compile(r"\d+|\S*\.example\S*|[€.:]")
_MARKS = {"€": "euro", ".": "stop", ":": "colon"}

Figures = dict[str, float]


def first_turns(one: Conversation, n: int | None = None) -> str:
    """Return the first `n` turns as one text."""
    return "\n".join(turn.text for turn in one.turns[:n])


def telltale(one: Conversation) -> str:
    """Return only what numbers, sums and addresses a conversation has."""
    found = _TELLTALE.findall(first_turns(one))
    return " ".join(_MARKS.get(mark, mark) for mark in found) or "none"


def lengths(them: Sequence[Conversation]) -> NDArray[np.float64]:
    """Return turns, characters, words, and words a turn."""
    rows = []
    for one in them:
        text = first_turns(one)
        words = len(text.split())
        rows.append((len(one.turns), len(text), words, words / len(one.turns)))
    return np.array(rows, dtype=np.float64)


def measure(corpus_seed: int, seed: int) -> Figures:
    """Return every figure for one corpus and one model seed."""
    made = conversations(corpus_seed)
    order = np.random.default_rng(seed).permutation(len(made["train"]))
    learned, kept = np.split(order, [round(LEARNED_SHARE * len(order))])
    fit = [made["train"][i] for i in learned]
    rest = [*made["calibration"], *made["test"]]
    truth, asked = _scams(fit), _scams(rest)

    def score(view: Callable[[Conversation], str], *, pairs: int = 1) -> float:
        words = TfidfVectorizer(min_df=2, sublinear_tf=True, ngram_range=(1, pairs))
        model = make_pipeline(words, LogisticRegression(C=5.0, max_iter=2000))
        model.fit([view(one) for one in fit], truth)
        return float(model.score([view(one) for one in rest], asked))

    by_length = make_pipeline(StandardScaler(), LogisticRegression()).fit(lengths(fit), truth)
    found = {f"bag of words, first {k} turns": score(lambda one, k=k: first_turns(one, k))
             for k in STEPS[:-1]}  # fmt: skip
    found["bag of words, whole"] = score(first_turns)
    found["words and pairs, whole"] = score(first_turns, pairs=2)
    found["lengths only"] = float(by_length.score(lengths(rest), asked))
    found["digits and addresses only"] = score(telltale)
    whole = parts(corpus_seed)
    ss3 = _ss3(whole["train"], learned, kept)
    for name in ("calibration", "test"):
        for k, share in zip(STEPS, _right_after(ss3, whole[name]), strict=True):
            found[f"SS3, {name}, first {k} turns"] = share
    return found


def _scams(them: Sequence[Conversation]) -> NDArray[np.bool_]:
    return np.array([one.label == "scam" for one in them])


def _ss3(part: StreamSet, learned: NDArray[np.int64], kept: NDArray[np.int64]) -> Ss3Classifier:
    options = Ss3Options(tune=True)
    fit, tuning = (_labelled(part.subset(np.sort(rows))) for rows in (learned, kept))
    return train_ss3(fit, tuning, options, horizon=STEPS[-1])


def _labelled(part: StreamSet) -> LabelledStreams:
    return LabelledStreams(part.inputs, part.offsets, part.labels, part.classes, part.channels)


def _right_after(model: Ss3Classifier, part: StreamSet) -> list[float]:
    """Return the share answered rightly after each of STEPS turns, or at the end before that."""
    state, answer = model.start(len(part)), np.zeros(len(part), dtype=np.int64)
    shares = []
    for t in range(STEPS[-1]):
        rows = np.flatnonzero(part.lengths > t)
        after, output = model.step(
            {name: array[rows] for name, array in state.items()},
            part.inputs[part.offsets[:-1][rows] + t],
        )
        for name, array in after.items():
            state[name][rows] = array
        answer[rows] = output.probabilities.argmax(axis=1)
        shares.append(float((answer == part.labels).mean()))
    return [shares[k - 1] for k in STEPS]


def write(path: Path) -> None:
    """Write the bundled set out, one conversation a line, for people to read."""
    with path.open("w", encoding="utf-8") as file:
        for part, them in conversations().items():
            for i, one in enumerate(them):
                row: dict[str, Any] = {
                    "stream_id": f"shop-talk/{part}/{i}", "label": one.label, "split": part,
                    "theme": f"{one.setting}.{one.theme}", "made_up": True,
                    "events": [
                        {"t": t, "role": turn.role, "text": turn.text}
                        for t, turn in enumerate(one.turns)
                    ],
                }  # fmt: skip
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _table(title: str, runs: Sequence[Figures]) -> None:
    print(f"\n{title}\n\n| what | accuracy | sd |\n| --- | ---: | ---: |")
    for name in runs[0]:
        values = [run[name] for run in runs]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"| {name} | {statistics.fmean(values):.3f} | {spread:.3f} |")


def main(arguments: list[str]) -> int:
    """Measure, print, and return 1 if the set is too easy or too hard."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="divisions of the train part")
    parser.add_argument("--corpora", type=int, default=5, help="other corpora of the generator")
    parser.add_argument("--write", type=Path, help="write the set here and measure nothing")
    chosen = parser.parse_args(arguments)
    if chosen.write is not None:
        write(chosen.write)
        return 0
    bundled = [measure(SEED, seed) for seed in range(chosen.seeds)]
    _table(f"the bundled set, {chosen.seeds} divisions of its train part", bundled)
    if chosen.corpora:
        others = [measure(seed, seed) for seed in range(chosen.corpora)]
        _table(f"{chosen.corpora} other corpora of the same generator", others)
    first = statistics.fmean(run["bag of words, first 1 turns"] for run in bundled)
    late = [
        statistics.fmean(run[name] for run in bundled)
        for name in ("bag of words, whole", f"SS3, test, first {STEPS[-1]} turns")
    ]
    bars = {
        f"first turn < {FIRST_TURN_BAR}": first < FIRST_TURN_BAR,
        f"late within {LATE_BARS}": all(LATE_BARS[0] <= x < LATE_BARS[1] for x in late),
    }
    print("\n" + json.dumps(bars))
    return 0 if all(bars.values()) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
