"""The words that a fitted SS3 knows, and their confidence values, ready to be summed up."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.text.tokens import SEPARATOR, split

if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = 2.0**32
"""A confidence value is held in whole units of 1/UNITS. Sums of whole numbers are exact (below
2^53 units: two million words of the largest value), so they do not depend on how posts are cut,
on the order of words, or on the batch."""


class Read(NamedTuple):
    """The words with a value in some posts, one entry a word read."""

    row: NDArray[np.int64]
    """Which post."""
    word: NDArray[np.int64]
    """Which word of the vocabulary."""


class Vocabulary:
    """Words with a table of values; `table` is [C, V], one column a word of `words`.

    Examples
    --------
    >>> known = Vocabulary(("free", "win"), np.array([[0.0, 0.0], [0.5, 1.0]]))
    >>> read = known.read(["Win a FREE trip, win!", "hello"])
    >>> known.sums(read, 2).tolist()
    [[0.0, 0.0], [2.5, 0.0]]
    """

    def __init__(self, words: Sequence[str], table: NDArray[np.float64]) -> None:
        n = len(words)
        self.words = tuple(words)
        self.table = np.zeros((len(table), n + 2))
        self.table[:, :n] = np.rint(table * UNITS) / UNITS
        """Exact values, [C, V + 2]; the last two, unknown word and end of post, have none."""
        self.size = self.table.max(axis=0) - self.table.min(axis=0)
        """The most that a word can speak for one class against another, [V + 2]."""
        self._has_value = self.table.max(axis=0) > 0
        self._ids = {word: i for i, word in enumerate(self.words)} | {SEPARATOR: n + 1}

    def read(self, posts: Sequence[str]) -> Read:
        """Return the words of `posts` that have a value in any class.

        Raises TypeError if a post is not a string. ASCII posts are read apart from others, which
        take longer.
        """
        is_ascii = np.fromiter(map(str.isascii, posts), np.bool_, len(posts))
        parts = [np.flatnonzero(is_ascii), np.flatnonzero(~is_ascii)]
        read = [self._read(at, [posts[i] for i in at.tolist()]) for at in parts if len(at)]
        nothing = Read(np.empty(0, np.int64), np.empty(0, np.int64))
        columns = zip(nothing, *read, strict=True)
        return Read(*(np.concatenate(column) for column in columns))

    def _read(self, at: NDArray[np.int64], posts: Sequence[str]) -> Read:
        """Return the words of `posts`, whose rows are `at`."""
        words = split(posts)
        unknown = repeat(len(self.words))
        ids = np.fromiter(map(self._ids.get, words, unknown), np.int64, len(words))
        kept = np.flatnonzero(self._has_value[ids])
        post = np.searchsorted(np.flatnonzero(ids == len(self.words) + 1), kept)
        return Read(at[post], ids[kept])

    def sums(self, read: Read, n_posts: int) -> NDArray[np.float64]:
        """Return the summed values of each post, [C, n_posts]."""
        sums = np.empty((len(self.table), n_posts))
        for values, total in zip(self.table, sums, strict=True):
            total[:] = np.bincount(read.row, weights=values[read.word], minlength=n_posts)
        return sums
