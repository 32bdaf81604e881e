"""What the online classifier has learned: a river pipeline, and the words it may not know yet.

The pipeline is river's bag of words and multinomial naive Bayes (Lewis, "Naive (Bayes) at forty",
ECML 1998, on its two forms). A label is one lesson: all words of that stream, once. Words that too
few streams have had are counted under a hash only; the stream that makes a word known
brings its spelling.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from river.compose import Pipeline
from river.feature_extraction import BagOfWords
from river.naive_bayes import MultinomialNB

from models.text.tokens import SEPARATOR, may_be_learned, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

HASH_BYTES = 8


@dataclass(frozen=True)
class Learned:
    """What was learned so far, as plain data: what is stored of a pipeline."""

    classes: tuple[str, ...]
    words: tuple[str, ...]
    """Known words, sorted."""
    counts: NDArray[np.int64]
    """How often each was read in each class, [C, V]."""
    streams: NDArray[np.int64]
    """Streams learned of each class, [C]."""
    waiting: NDArray[np.uint64]
    """Hashes of words that too few streams had, sorted, [W]."""
    waiting_counts: NDArray[np.int64]
    """As `counts`, [C, W]."""
    waiting_streams: NDArray[np.int64]
    """Streams that had each, [W]."""


def nothing(classes: Sequence[str]) -> Learned:
    """Return what is known before the first lesson.

    >>> nothing(["no", "yes"]).counts.shape
    (2, 0)
    """
    n = len(classes)
    return Learned(
        tuple(classes), (), np.zeros((n, 0), np.int64), np.zeros(n, np.int64),
        np.zeros(0, np.uint64), np.zeros((n, 0), np.int64), np.zeros(0, np.int64),
    )  # fmt: skip


def bag_of_words() -> BagOfWords:
    """Return river's bag of words with our definition of a word."""
    return BagOfWords(strip_accents=False, lowercase=False, tokenizer=words_of)


def words_of(text: str) -> list[str]:
    """Return the words of a text that may be learned.

    Left out are those longer than any word is, and those few that read otherwise when they are
    read again (piled-up marks do): a model that holds one could not be loaded.

    >>> words_of("Pay NOW, pay!")
    ['pay', 'now', 'pay']
    """
    return [word for word in split([text]) if word != SEPARATOR and may_be_learned(word)]


class Lessons:
    """Goes on from what was learned, lesson by lesson.

    Parameters
    ----------
    learned
        Where to begin.
    alpha, least_streams
        As `models.online.options.RiverOptions`.

    Examples
    --------
    >>> lessons = Lessons(nothing(["no", "yes"]), alpha=1.0, least_streams=1)
    >>> lessons.learn("win a prize", "yes")
    >>> lessons.learn("win or lose", "no")
    >>> lessons.pipeline.predict_one("a prize")
    'yes'
    """

    def __init__(self, learned: Learned, *, alpha: float, least_streams: int) -> None:
        self._classes = learned.classes
        self._least = least_streams
        self._bayes = _restored(learned, alpha)
        self.pipeline = Pipeline(("words", bag_of_words()), ("bayes", self._bayes))
        """River's: `predict_proba_one(text)` answers as the snapshot does, for known words."""
        self._waiting: dict[int, Counter[str]] = {}
        self._had: Counter[int] = Counter()
        columns = zip(
            learned.waiting.tolist(), learned.waiting_counts.T.tolist(),
            learned.waiting_streams.tolist(), strict=True,
        )  # fmt: skip
        for key, counts, n_streams in columns:
            self._waiting[key] = Counter(dict(zip(self._classes, counts, strict=True)))
            self._had[key] = n_streams

    def learn(self, text: str, label: str) -> None:
        """Take a labelled stream's words; raises KeyError for a label that is no class."""
        if label not in self._classes:
            raise KeyError(label)
        bag = Counter(words_of(text))
        for word in bag.keys() - self._bayes.feature_counts.keys():
            self._wait(word, bag.pop(word), label)
        # The pipeline counts the known words, and the stream even if it has none of them.
        self.pipeline.learn_one(cast("Any", " ".join(bag.elements())), label)

    def learned(self) -> Learned:
        """Return all that was learned, in one fixed order."""
        words = sorted(self._bayes.feature_counts)
        keys = sorted(self._waiting)
        rows = [[self._bayes.feature_counts[word][c] for word in words] for c in self._classes]
        waiting = [[self._waiting[key][c] for key in keys] for c in self._classes]
        return Learned(
            classes=self._classes,
            words=tuple(words),
            counts=_whole(rows, len(words)),
            streams=np.array([self._bayes.class_counts[c] for c in self._classes], np.int64),
            waiting=np.array(keys, np.uint64),
            waiting_counts=_whole(waiting, len(keys)),
            waiting_streams=np.array([self._had[key] for key in keys], np.int64),
        )

    def _wait(self, word: str, times: int, label: str) -> None:
        """Count a word that is not known; make it known once enough streams had it."""
        key = _hash(word)
        counts = self._waiting.setdefault(key, Counter())
        counts[label] += times
        self._had[key] += 1
        if self._had[key] >= self._least:
            self._bayes.feature_counts[word].update(counts)
            self._bayes.class_totals.update(counts)
            del self._waiting[key], self._had[key]


def learn_all(lessons: Lessons, texts: Iterable[str], labels: Iterable[str]) -> None:
    """Take one lesson after the other."""
    for text, label in zip(texts, labels, strict=True):
        lessons.learn(text, label)


def _restored(learned: Learned, alpha: float) -> Any:  # noqa: ANN401  # river has no types
    """Return river's model with the counts that it had."""
    bayes: Any = cast("Any", MultinomialNB)(alpha=alpha)
    bayes.class_counts = Counter(
        {c: n for c, n in zip(learned.classes, learned.streams.tolist(), strict=True) if n}
    )
    totals = learned.counts.sum(axis=1).tolist()
    bayes.class_totals = Counter(dict(zip(learned.classes, totals, strict=True)))
    bayes.feature_counts = defaultdict(Counter)
    for word, counts in zip(learned.words, learned.counts.T.tolist(), strict=True):
        bayes.feature_counts[word] = Counter(
            {c: n for c, n in zip(learned.classes, counts, strict=True) if n}
        )
    return bayes


def _whole(rows: list[list[int]], width: int) -> NDArray[np.int64]:
    return np.array(rows, np.int64).reshape(len(rows), width)


def _hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode(), digest_size=HASH_BYTES).digest(), "little")
