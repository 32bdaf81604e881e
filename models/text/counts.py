"""How often each word was read in each class: all that SS3 learns, one text at a time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from models.text.formula import Formula, confidence, global_value
from models.text.tokens import SEPARATOR, may_be_learned, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class WordCounts:
    """Counts of words by class; order of learning does not matter.

    Parameters
    ----------
    n_classes
        At least two.

    Attributes
    ----------
    largest : list of int
        The largest count of any word in each class, [C].
    epoch : int
        How often `largest` changed: a value computed since depends on its word's counts only.

    Examples
    --------
    >>> counts = WordCounts(2)
    >>> counts.learn(["Pay pay", "now"], label=1)
    >>> counts.of("pay"), counts.largest
    ((0, 2), [0, 2])
    """

    def __init__(self, n_classes: int) -> None:
        self.n_classes = n_classes
        self.largest = [0] * n_classes
        self.epoch = 0
        self.n_learned = 0
        self._counts: dict[str, list[int]] = {}

    def learn(self, posts: Sequence[str], label: int) -> None:
        """Count the words of `posts` for class index `label`; costs only those words."""
        self.n_learned += 1
        for word, times in Counter(split(posts)).items():
            if word == SEPARATOR or not may_be_learned(word):
                continue
            counts = self._counts.setdefault(word, [0] * self.n_classes)
            counts[label] += times
            if counts[label] > self.largest[label]:
                self.largest[label] = counts[label]
                self.epoch += 1

    def of(self, word: str) -> tuple[int, ...]:
        """Return how often `word` was read in each class."""
        return tuple(self._counts.get(word, [0] * self.n_classes))

    def table(self, least: int = 1) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Return words in alphabetical order and their counts, [C, V].

        Words that no class has read `least` times are left out.
        """
        words = sorted(word for word, counts in self._counts.items() if max(counts) >= least)
        rows = [self._counts[word] for word in words]
        return tuple(words), np.array(rows, np.int64).reshape(-1, self.n_classes).T.copy()


class LazyValues:
    """Confidence values of single words, computed when they are asked for.

    Nothing is computed while texts are learned. Under ``gv`` a value is kept as long as its word's
    counts and `WordCounts.epoch` stay; the normalised modes also read the largest gv of each
    class, which is found anew after anything was learned.

    Examples
    --------
    >>> counts = WordCounts(2)
    >>> counts.learn(["win win win", "win"], label=1)
    >>> LazyValues(counts, Formula()).of("win")
    (0.0, 1.0)
    """

    def __init__(self, counts: WordCounts, formula: Formula) -> None:
        self.counts = counts
        self.formula = formula
        self._kept: dict[str, tuple[tuple[object, ...], tuple[float, ...]]] = {}
        self._most_gv: tuple[int, NDArray[np.float64]] | None = None

    def of(self, word: str) -> tuple[float, ...]:
        """Return cv of `word` for each class; O(C log C) under ``gv`` if it is not kept."""
        counts = self.counts.of(word)
        key = (counts, self.counts.epoch if self.formula.cv == "gv" else self.counts.n_learned)
        kept = self._kept.get(word)
        if kept is not None and kept[0] == key:
            return kept[1]
        gv = global_value(np.array(counts)[:, np.newaxis], self._largest(), self.formula)
        value = tuple(confidence(gv, self._class_most(), self.formula)[:, 0].tolist())
        self._kept[word] = (key, value)
        return value

    def _largest(self) -> NDArray[np.int64]:
        return np.array(self.counts.largest, dtype=np.int64)

    def _class_most(self) -> NDArray[np.float64]:
        if self.formula.cv == "gv":
            return np.ones(self.counts.n_classes)
        if self._most_gv is None or self._most_gv[0] != self.counts.n_learned:
            _, counts = self.counts.table()
            gv = global_value(counts, self._largest(), self.formula)
            self._most_gv = (self.counts.n_learned, gv.max(axis=1, initial=0.0))
        return self._most_gv[1]
