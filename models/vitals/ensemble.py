"""Boosted trees as flat arrays, scored without walking them.

A row reaches the leaf of a tree that no failed question excludes. So every leaf of a tree is one
bit of a word, every question has the word of the leaves that remain when it fails (all but those
on its left), and the leaf is the lowest bit of the conjunction: comparisons and bit operations
over whole arrays, in time independent of the answers. The idea is that of QuickScorer (Lucchese et
al., SIGIR 2015).

All values are whole multiples of 2^-32. Sums of these are exact in float64 whatever their order,
so a row's score does not depend on its batch, and what the questions contribute adds up to it
without remainder.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Float32 = NDArray[np.float32]
    Float64 = NDArray[np.float64]

LEAF = -1
"""As `feature`: a node that asks nothing."""
ROWS = 512
"""Scored together: what they need stays in the processor's cache."""
UNIT = 2.0**-32
MOST_VALUE = 1e5
"""Values are cut here, so that sums stay exact."""


def whole(values: Float64) -> Float64:
    """Return values cut to `MOST_VALUE` and rounded to whole multiples of `UNIT`.

    >>> float(whole(np.array([0.1]))[0]) == round(0.1 * 2**32) / 2**32
    True
    """
    cut = np.clip(values, -MOST_VALUE, MOST_VALUE)
    rounded: Float64 = np.rint(cut / UNIT) * UNIT
    return rounded


@dataclass(frozen=True, eq=False)
class Trees:
    """T trees of at most N nodes, the nodes of each in pre-order, the root first."""

    feature: NDArray[np.int32]
    """Column that a node asks about, `LEAF` at leaves and in unused places, [T, N]."""
    threshold: Float32
    """A row goes left if its value is at most this, [T, N]."""
    missing_left: NDArray[np.bool_]
    """Whether a row without that value goes left, [T, N]."""
    left: NDArray[np.int32]
    """[T, N]; 0 at leaves."""
    right: NDArray[np.int32]
    """[T, N]; 0 at leaves."""
    value: Float64
    """What a row adds to the score, expected over the training rows that came to this node: at a
    leaf what it does add. Whole multiples of `UNIT`, [T, N]."""
    output: NDArray[np.int32]
    """Which score a tree adds to, [T]."""
    baseline: Float64
    """Each score before any tree, whole multiples of `UNIT`, [S]."""

    @property
    def prior(self) -> Float64:
        """Scores expected over the training rows, [S]."""
        prior = self.baseline.copy()
        np.add.at(prior, self.output, self.value[:, 0])
        return prior

    def scores(self, matrix: Float32) -> Float64:
        """Return the scores of the rows of `matrix` [n, F], as [S, n]."""
        parts = [
            self._questions.scores(matrix[start : start + ROWS], self.output, self.baseline)
            for start in range(0, len(matrix), ROWS)
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(self.baseline), 0))

    def moves(self, row: Float32) -> Float64:
        """Return how far each feature moved each score of one row [F] from the prior, [S, F].

        Each question moves the expected value from its node's to that of the node it leads to.
        """
        trees = np.arange(len(self.feature))
        node = np.zeros(len(trees), np.intp)
        moved = np.zeros((len(self.baseline), len(row)))
        while True:
            feature = self.feature[trees, node]
            asking = np.flatnonzero(feature != LEAF)
            if not len(asking):
                return moved
            tree, at, asked = trees[asking], node[asking], feature[asking]
            value = row[asked]
            goes_left = np.where(
                np.isnan(value), self.missing_left[tree, at], value <= self.threshold[tree, at]
            )
            node[asking] = np.where(goes_left, self.left[tree, at], self.right[tree, at])
            change = self.value[tree, node[asking]] - self.value[tree, at]
            np.add.at(moved, (self.output[tree], asked), change)

    @cached_property
    def _questions(self) -> _Questions:
        return _questions(self)


@dataclass(frozen=True, slots=True, eq=False)
class _Questions:
    """The same trees as questions and words; K questions a tree, L leaves."""

    used: NDArray[np.intp]
    """Columns of the matrix that are asked about at all, [U]."""
    column: NDArray[np.intp]
    """Row asked about of the used columns twice, missing as NaN and as -inf, [K, T]."""
    threshold: Float32
    """[K, T, 1]."""
    remaining: NDArray[np.unsignedinteger]
    """Leaves that remain when the answer is no, [K, T, 1]."""
    leaf: Float64
    """Values of the leaves, tree by tree, [T * L]."""
    first: NDArray[np.intp]
    """Where each tree's leaves begin in `leaf`, [T, 1]."""

    def scores(self, matrix: Float32, output: NDArray[np.int32], baseline: Float64) -> Float64:
        """Return [S, n]."""
        values = np.ascontiguousarray(matrix[:, self.used].T)
        values = np.concatenate((values, np.where(np.isnan(values), np.float32(-np.inf), values)))
        every = np.array(np.iinfo(self.remaining.dtype).max, self.remaining.dtype)
        word = np.full((len(output), len(matrix)), every)
        for column, threshold, remaining in zip(
            self.column, self.threshold, self.remaining, strict=True
        ):
            word &= np.where(values[column] <= threshold, every, remaining)
        lowest = word & (~word + np.ones((), word.dtype))
        place = self.first + np.bitwise_count(lowest - np.ones((), word.dtype))
        added = self.leaf[place]
        scores = np.empty((len(baseline), len(matrix)))
        for score in range(len(baseline)):
            mine = added if len(baseline) == 1 else added[output == score]
            scores[score] = mine.sum(axis=0) + baseline[score]
        return scores


def _questions(trees: Trees) -> _Questions:
    n_trees = len(trees.feature)
    asking = trees.feature != LEAF
    most = max(int(asking.sum(axis=1).max(initial=0)), 1)
    used = np.unique(trees.feature[asking]).astype(np.intp)
    if not len(used):  # only stumps without a question: one is made up that every row affirms
        used = np.zeros(1, np.intp)
    n_leaves = most + 1
    bits = next(size for size in (8, 16, 32, 64) if size >= n_leaves)
    word = np.dtype(f"uint{bits}")
    column = np.full((most, n_trees), len(used), np.intp)  # the -inf copy: always yes
    threshold = np.full((most, n_trees), np.inf, np.float32)
    remaining = np.full((most, n_trees), np.iinfo(word).max, word)
    leaf = np.zeros((n_trees, n_leaves))
    for t in range(n_trees):
        order: list[int] = []
        spans = _spans(trees, t, order)
        leaf[t, : len(order)] = trees.value[t, order]
        for k, node in enumerate(np.flatnonzero(asking[t])):
            place = int(np.searchsorted(used, trees.feature[t, node]))
            column[k, t] = place + len(used) * int(trees.missing_left[t, node])
            threshold[k, t] = trees.threshold[t, node]
            first, last = spans[int(trees.left[t, node])]
            gone = (1 << last) - (1 << first)
            remaining[k, t] = int(np.iinfo(word).max) & ~gone
    return _Questions(
        used=used, column=column, threshold=threshold[..., np.newaxis],
        remaining=remaining[..., np.newaxis], leaf=leaf.ravel(),
        first=(np.arange(n_trees) * n_leaves)[:, np.newaxis],
    )  # fmt: skip


def _spans(trees: Trees, t: int, order: list[int]) -> dict[int, tuple[int, int]]:
    """Return which leaves lie below each node of tree t, as (first, last + 1) from the left.

    The leaves' nodes are appended to `order`.
    """
    spans: dict[int, tuple[int, int]] = {}

    def visit(node: int) -> None:
        first = len(order)
        if trees.feature[t, node] == LEAF:
            order.append(node)
        else:
            visit(int(trees.left[t, node]))
            visit(int(trees.right[t, node]))
        spans[node] = (first, len(order))

    visit(0)
    return spans
