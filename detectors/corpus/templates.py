"""The templates that come with the package, by act, and the two pools they are divided into."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Pool = Literal["train", "held"]
"""``held`` serves calibration and test alike, which must be exchangeable; ``train`` the rest."""
Setting = Literal["market", "desk"]
"""People who sell to each other, or a shop and its customers."""
Side = Literal["a", "z"]
"""``a`` asks for the thing (buyer, customer), ``z`` has it (seller, help desk)."""
FOLDER = Path(__file__).parent
_TAG = ": "


class Line(NamedTuple):
    """One template, and which sides may say it."""

    text: str
    sides: frozenset[str]


Lines = tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Theme:
    """What the talk comes to: how it is raised, and what is said about it after that."""

    name: str
    hard: bool
    """Honest talk in the words that scams use; scams are never called hard."""
    raised: Lines
    pursued: Lines


@dataclass(frozen=True, slots=True)
class Templates:
    """All templates of one pool."""

    neutral: Mapping[str, Mapping[str, Lines]]
    """By setting (or ``reply``) and act; both classes draw from them."""
    ordinary: Mapping[str, tuple[Theme, ...]]
    """By setting."""
    scam: Mapping[str, tuple[Theme, ...]]
    """By setting."""

    def texts(self) -> tuple[str, ...]:
        """Return every template of the pool."""
        lines = [line for acts in self.neutral.values() for act in acts.values() for line in act]
        themes = [t for kind in (self.ordinary, self.scam) for ts in kind.values() for t in ts]
        lines += [line for theme in themes for line in theme.raised + theme.pursued]
        return tuple(line.text for line in lines)


@cache
def templates(pool: Pool) -> Templates:
    """Return the templates of a pool.

    >>> set(templates("train").texts()) & set(templates("held").texts())
    set()
    """
    neutral = {
        place: {act: _lines(pools[pool]) for act, pools in acts.items()}
        for place, acts in _read("neutral").items()
    }
    return Templates(
        neutral=neutral,
        ordinary=_themes(_read("ordinary"), "follow", pool),
        scam=_themes(_read("scam"), "press", pool),
    )


@cache
def slots() -> Mapping[str, Any]:
    """Return what may fill the places of a template, by the place's name."""
    return _read("slots")


def said_by(lines: Lines, side: Side) -> Lines:
    """Return those of `lines` that `side` may say."""
    return tuple(line for line in lines if side in line.sides)


def _themes(table: Mapping[str, Any], second: str, pool: Pool) -> dict[str, tuple[Theme, ...]]:
    return {
        setting: tuple(
            Theme(
                name=name, hard=bool(acts.get("hard", False)),
                raised=_lines(acts["raise"][pool]), pursued=_lines(acts[second][pool]),
            )
            for name, acts in themes.items()
        )
        for setting, themes in table.items()
    }  # fmt: skip


def _lines(texts: list[str]) -> Lines:
    return tuple(_line(text) for text in texts)


def _line(text: str) -> Line:
    side, tag, rest = text.partition(_TAG)
    if tag and side in ("a", "z"):
        return Line(rest, frozenset(side))
    return Line(text, frozenset("az"))


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
