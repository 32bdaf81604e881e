"""The words that spoke loudest in a stream, kept as numbers of the vocabulary while it goes by.

A stream keeps 16 places. A word that is kept counts on; another one takes a free place, or that of
the smallest kept if it is larger. A word's size is how often it was read times the most it can
speak for one class against another. So a stream with up to 16 different words of value is
accounted for exactly; in longer ones a word that was dropped counts from its return. What is not
kept is not lost for the sums: it is the explanation's rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from models.protocol import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from models.protocol import State
    from models.text.vocabulary import Read

    Ints = NDArray[np.int64]

PLACES = 16
NAMES = ("top_word", "top_times", "top_step")


def fields() -> dict[str, Field]:
    """Return the state arrays that this part owns; a place with ``top_times`` 0 is free."""
    return {name: Field("int32", (PLACES,)) for name in NAMES}


def keep(state: State, read: Read, step: NDArray[np.int32], size: NDArray[np.float64]) -> State:
    """Return this part of the state after a step in which `read` was read.

    Parameters
    ----------
    state
        Arrays of n streams; of them this part's are read.
    read
        Words with a value, by row.
    step
        Number of the step now folded in, [n].
    size
        Of each word of the vocabulary; words of size 0 are not kept.
    """
    top = {name: state[name].copy() for name in NAMES}
    row, word, times = _counted(read, size)
    if len(row):
        row, word, times = _count_on(top, row, word, times)
        row, word, times = _without_hope(top, size, row, word, times)
        _let_in(top, size, row, word, times, step[row])
    return top


def _counted(read: Read, size: NDArray[np.float64]) -> tuple[Ints, Ints, Ints]:
    """Return each different (row, word) once, ascending, and how often it was read."""
    pairs = (read.row * len(size) + read.word)[size[read.word] > 0]
    different, times = np.unique(pairs, return_counts=True)
    row, word = np.divmod(different, len(size))
    return row, word, times.astype(np.int64)


def _count_on(top: State, row: Ints, word: Ints, times: Ints) -> tuple[Ints, Ints, Ints]:
    """Add to the words that are kept already, in place; return the others."""
    match = (top["top_word"][row] == word[:, np.newaxis]) & (top["top_times"][row] > 0)
    at, place = np.nonzero(match)
    top["top_times"][row[at], place] += times[at].astype(np.int32)
    other = ~match.any(axis=1)
    return row[other], word[other], times[other]


def _without_hope(
    top: State, size: NDArray[np.float64], row: Ints, word: Ints, times: Ints
) -> tuple[Ints, Ints, Ints]:
    """Leave out words that are no larger than the smallest kept, which is 0 where one is free."""
    rows, at = np.unique(row, return_inverse=True)
    kept = top["top_times"][rows] * size[top["top_word"][rows]]
    larger = times * size[word] > kept.min(axis=1)[at]
    return row[larger], word[larger], times[larger]


def _let_in(
    top: State,
    size: NDArray[np.float64],
    row: Ints,
    word: Ints,
    times: Ints,
    step: NDArray[np.int32],
) -> None:
    """Give the new words their places, in place; `step` is that of each word."""
    n_kept = (top["top_times"] > 0).sum(axis=1)
    rows, first, n_new = np.unique(row, return_index=True, return_counts=True)
    place = n_kept[row] + np.arange(len(row)) - np.repeat(first, n_new)
    crowded = np.zeros(len(n_kept), np.bool_)
    crowded[rows] = n_kept[rows] + n_new > PLACES
    easy = ~crowded[row]
    every: tuple[NDArray[Any], ...] = (row, word, times, step)
    for name, values in zip(NAMES, every[1:], strict=True):
        top[name][row[easy], place[easy]] = values[easy]
    if crowded.any():
        others = tuple(values[~easy] for values in every)
        _let_in_the_largest(top, size, np.flatnonzero(crowded), others)


def _let_in_the_largest(
    top: State, size: NDArray[np.float64], rows: Ints, new: tuple[NDArray[Any], ...]
) -> None:
    """Of the words kept and the new ones, keep the largest; of equal ones the older, in place.

    `rows` are those concerned, ascending; `new` holds row, word, times and step of new words.
    """
    at, place = np.nonzero(top["top_times"][rows])
    kept = [rows[at], *(top[name][rows[at], place] for name in NAMES)]
    row, word, times, step = (
        np.concatenate((old, more)) for old, more in zip(kept, new, strict=True)
    )
    order = np.lexsort((word, step, -(times * size[word]), row))
    row = row[order]
    starts = np.searchsorted(row, rows)
    rank = np.arange(len(row)) - starts[np.searchsorted(rows, row)]
    stays = rank < PLACES
    for name, values in zip(NAMES, (word, times, step), strict=True):
        top[name][rows] = 0
        top[name][row[stays], rank[stays]] = values[order[stays]]
