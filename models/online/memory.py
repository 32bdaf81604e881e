"""The words of a stream, remembered so that a label that comes later can be learned from.

The first `KNOWN` words that the model knows, as numbers of its vocabulary, and the first `STRANGE`
others as they were spelled, unless that takes more than `SPELLING_BYTES`. They are part of the
stream's state, and go with it.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.protocol import Field
from models.text.tokens import SEPARATOR, split

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from models.protocol import State

KNOWN = 160
STRANGE = 32
SPELLING_BYTES = 24
NAMES = ("known", "n_known", "strange", "n_strange")


class Words(NamedTuple):
    """All words of some posts."""

    row: NDArray[np.int64]
    """Which post, ascending."""
    number: NDArray[np.int64]
    """In the vocabulary; its size for a word that is not in it."""
    spelled: NDArray[np.object_]


def fields() -> dict[str, Field]:
    """Return the state arrays that this part owns."""
    return {
        "known": Field("int32", (KNOWN,)),
        "n_known": Field("int32"),
        "strange": Field(f"S{SPELLING_BYTES}", (STRANGE,)),
        "n_strange": Field("int32"),
    }


def read(posts: Sequence[str], numbers: Mapping[str, int]) -> Words:
    """Return the words of the posts; `numbers` says which number a word has."""
    found = split(posts)
    spelled = np.empty(len(found), dtype=object)
    spelled[:] = found
    number = np.fromiter(map(numbers.get, found, repeat(len(numbers))), np.int64, len(found))
    is_end = np.fromiter((word == SEPARATOR for word in found), np.bool_, len(found))
    row: NDArray[np.int64] = np.cumsum(is_end, dtype=np.int64)
    return Words(row[~is_end], number[~is_end], spelled[~is_end])


def remember(state: State, words: Words, n_known: int) -> State:
    """Return this part of the state with the words of one more step of every stream.

    `n_known` is the number of words in the vocabulary.
    """
    after = {name: state[name].copy() for name in NAMES}
    known = words.number < n_known
    _append(after, "known", words.row[known], words.number[known])
    spelled = [word.encode(errors="replace") for word in words.spelled[~known]]
    short = np.array([len(word) <= SPELLING_BYTES for word in spelled], np.bool_)
    values = np.array(spelled, dtype=f"S{SPELLING_BYTES}")[short]
    _append(after, "strange", words.row[~known][short], values)
    return after


def text_of(state: State, i: int, vocabulary: Sequence[str]) -> str:
    """Return the remembered words of stream i (a row of `state`) as one text."""
    known = state["known"][i, : state["n_known"][i]]
    strange = state["strange"][i, : state["n_strange"][i]]
    words = [vocabulary[number] for number in known.tolist()]
    return " ".join([*words, *(word.decode(errors="replace") for word in strange.tolist())])


def _append(after: State, name: str, row: NDArray[np.int64], values: NDArray[np.generic]) -> None:
    """Write values behind those that their streams have, as long as there is room, in place."""
    count, capacity = after[f"n_{name}"], after[name].shape[1]
    if not len(row):
        return
    first = np.flatnonzero(np.concatenate(([True], row[1:] != row[:-1])))
    rank = np.arange(len(row)) - np.repeat(first, np.diff(first, append=len(row)))
    place = count[row] + rank
    fits = place < capacity
    after[name][row[fits], place[fits]] = values[fits]
    after[f"n_{name}"] = np.minimum(
        count + np.bincount(row, minlength=len(count)), capacity
    ).astype(np.int32)
