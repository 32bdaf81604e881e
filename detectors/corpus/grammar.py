"""Templates: one line that stands for many sentences, and how a sentence is drawn from it.

``[a|b|c]`` is one of several wordings, an empty one included; brackets may stand in brackets.
``{name}`` is a place that a fact of the conversation fills.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_WORDINGS = re.compile(r"\[([^\[\]]*)\]")
_PLACE = re.compile(r"\{(\w+)\}")
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(r"\s+([,.?!:;])")
_MARKS = re.compile(r",+([.?!,:;])|([.?!])\.")

T = TypeVar("T")


class Draws:
    """Draws from one seed, the same on every machine and in every version of Python.

    Only `random.Random.random` is used: its sequence is promised not to change, that of `choice`
    and `shuffle` is not.

    >>> Draws("seed").index(1000)
    138
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311  # made-up talk, no secret

    def index(self, n: int) -> int:
        """Return one of 0 to n - 1."""
        return int(self._random.random() * n)

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random.random() < probability

    def one(self, options: Sequence[T]) -> T:
        """Return one of `options`."""
        return options[self.index(len(options))]

    def weighted(self, options: Sequence[tuple[T, float]]) -> T:
        """Return one of `options`, which stand beside their weights."""
        place = self._random.random() * sum(weight for _, weight in options)
        for option, weight in options:
            place -= weight
            if place < 0:
                return option
        return options[-1][0]


def expand(template: str, draws: Draws, fill: Callable[[str], str]) -> str:
    """Return a sentence that `template` stands for.

    Parameters
    ----------
    template
        As the module says.
    draws
        Which wordings are taken.
    fill
        Returns what fills a place, by the place's name.

    Examples
    --------
    >>> expand("[hi|hi there|], is the {item} [still|] here?", Draws("a"), {"item": "rug"}.get)
    'hi, is the rug still here?'
    """
    while (found := _WORDINGS.search(template)) is not None:
        wording = draws.one(found[1].split("|"))
        template = template[: found.start()] + wording + template[found.end() :]
    return _tidy(_PLACE.sub(lambda place: fill(place[1]), template))


def places(template: str) -> set[str]:
    """Return the names of the places of a template.

    >>> sorted(places("the {item} for {price}"))
    ['item', 'price']
    """
    return set(_PLACE.findall(template))


def _tidy(sentence: str) -> str:
    sentence = _SPACE_BEFORE_MARK.sub(r"\1", _SPACES.sub(" ", sentence))
    return _MARKS.sub(r"\1\2", sentence).strip(" ,")
