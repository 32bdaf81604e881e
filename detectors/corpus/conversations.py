"""Conversations drawn from the templates: made up, labelled, the same for the same seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.corpus.facts import Facts
from detectors.corpus.grammar import Draws, expand
from detectors.corpus.habits import Habits
from detectors.corpus.plot import LABELS, Label, plot
from detectors.corpus.templates import Pool, Setting, Side, templates

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED = 20_261_122
SIZES: Mapping[str, int] = {"train": 900, "calibration": 400, "test": 400}
POOLS: Mapping[str, Pool] = {"train": "train", "calibration": "held", "test": "held"}
"""Calibration and test are draws from one and the same law; train has other templates."""
ROLES: Mapping[tuple[Setting, Side], str] = {
    ("market", "a"): "buyer",
    ("market", "z"): "seller",
    ("desk", "a"): "customer",
    ("desk", "z"): "desk",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One message."""

    role: str
    """``buyer``, ``seller``, ``customer`` or ``desk``."""
    text: str
    template: str
    """Where `text` comes from."""
    telling: bool
    """Whether it belongs to the theme that makes the class."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One stream."""

    label: Label
    setting: Setting
    theme: str
    turns: tuple[Turn, ...]


def conversations(seed: int = SEED) -> dict[str, tuple[Conversation, ...]]:
    """Return the conversations of each part.

    Every conversation has draws of its own, made from the seed, its part and its number: within a
    pool of templates they are independent and follow one law, the class being the toss of a coin.

    Examples
    --------
    >>> made = conversations()
    >>> {part: len(them) for part, them in made.items()}
    {'train': 900, 'calibration': 400, 'test': 400}
    >>> made == conversations()
    True
    """
    return {
        part: tuple(conversation(f"{seed}/{part}/{i}", POOLS[part]) for i in range(size))
        for part, size in SIZES.items()
    }


def conversation(seed: str, pool: Pool) -> Conversation:
    """Return one conversation made of the templates of a pool."""
    draws = Draws(seed)
    label = LABELS[draws.index(2)]
    setting, theme, steps = plot(label, templates(pool), draws)
    facts = Facts(draws)
    habits = {side: Habits.draw(draws) for side in ("a", "z")}
    turns = tuple(
        Turn(
            role=ROLES[setting, step.side],
            text=habits[step.side].type(expand(step.template, draws, facts), draws),
            template=step.template,
            telling=step.telling,
        )
        for step in steps
    )
    return Conversation(label, setting, theme, turns)
