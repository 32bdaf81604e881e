"""The course of a conversation: who takes which turn, and what the turn is for.

Both classes follow the same plan, with the same lengths: small talk about the thing for a while,
then something is raised, and pursued to the end. What differs is what is raised, and how often
the hints before it and the doubts after it come. So length, setting and the place of the turning
point say nothing about the class, and a scam may look like shop talk until its last turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from detectors.corpus.templates import Theme, said_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.corpus.grammar import Draws
    from detectors.corpus.templates import Lines, Setting, Side, Templates

Label = Literal["ordinary", "scam"]
LABELS: tuple[Label, Label] = ("ordinary", "scam")
SHORTEST, LONGEST = 4, 14
"""Turns."""
MARKET_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Manner:
    """How often things come in conversations of one class; all are chances."""

    hint: float
    """Before the turning point: a hint, the same ones for both classes."""
    wary: float
    """After it: an answer that doubts."""
    pursue: float
    """After it: a turn, of someone who has lines for it, that comes back to the theme."""


MANNERS: Mapping[Label, Manner] = {
    "ordinary": Manner(hint=0.1, wary=0.2, pursue=0.75),
    "scam": Manner(hint=0.35, wary=0.4, pursue=0.95),
}
HARD = 0.5
"""An ordinary conversation has a hard theme."""
ASIDE = 0.15
"""A turn before the turning point is about another, honest theme; in either class."""
WILLING = 0.6
"""An answer that does not doubt agrees."""
CHAT = 0.3
"""A turn about nothing in particular is small talk, not about the thing."""
REASSURE = 0.3
"""Doubt is answered with reassurance."""
CLOSE = 0.3
"""The last turn is a good-bye."""


@dataclass(frozen=True, slots=True)
class Step:
    """One turn before it has words."""

    side: Side
    template: str
    telling: bool = False
    """Whether the turn belongs to the theme that makes the class."""


def plot(label: Label, templates: Templates, draws: Draws) -> tuple[Setting, str, list[Step]]:
    """Return setting, theme and turns of a conversation of class `label`.

    The turning point, the first telling turn, is anywhere from the second turn to the last but
    one: the earlier of two places drawn alike.
    """
    setting: Setting = "market" if draws.chance(MARKET_SHARE) else "desk"
    n_turns = SHORTEST + draws.index(LONGEST - SHORTEST + 1)
    turning = 1 + min(draws.index(n_turns - 2) for _ in range(2))
    themes: Sequence[Theme] = templates.scam[setting]
    if label == "ordinary":
        hard = draws.chance(HARD)
        themes = [theme for theme in templates.ordinary[setting] if theme.hard == hard]
    theme = draws.one(themes)
    asides = [other for other in templates.ordinary[setting] if other is not theme]
    talk = _Talk(templates.neutral[setting], templates.neutral["reply"], MANNERS[label], draws)
    opener: Side = "a" if setting == "market" or draws.chance(0.5) else "z"
    talk.before(opener, turning, draws.one(asides))
    talk.after(theme, n_turns)
    return setting, theme.name, talk.steps


class _Talk:
    """A conversation as it grows; nobody says a line twice."""

    def __init__(
        self,
        acts: Mapping[str, Lines],
        replies: Mapping[str, Lines],
        manner: Manner,
        draws: Draws,
    ) -> None:
        self.steps: list[Step] = []
        self._acts, self._replies, self._manner, self._draws = acts, replies, manner, draws
        self._said: set[str] = set()

    def before(self, opener: Side, turning: int, aside: Theme) -> None:
        """Add the turns before the turning point."""
        self._say(opener, self._left("open", opener))
        begun = False
        while len(self.steps) < turning:
            side = self._next_side()
            about_aside = self._unsaid(aside.pursued if begun else aside.raised, side)
            if len(self.steps) == 1:
                self._say(side, self._left("yes", side))
            elif self._draws.chance(self._manner.hint) and self._left("hint", side):
                self._say(side, self._left("hint", side))
            elif about_aside and self._draws.chance(ASIDE):
                begun = True
                self._say(side, about_aside)
            else:
                self._usual(side)

    def after(self, theme: Theme, n_turns: int) -> None:
        """Add the turns from the turning point on, up to `n_turns` in all."""
        raiser = self._next_side()
        if not said_by(theme.raised, raiser):
            raiser = self.steps[-1].side  # says two things in a row
        self._say(raiser, said_by(theme.raised, raiser), telling=True)
        doubted = False
        while len(self.steps) < n_turns:
            side = self._next_side()
            about_theme = self._unsaid(theme.pursued, side)
            reassure = self._unsaid(self._replies["reassure"], side)
            reassures = doubted and bool(reassure) and self._draws.chance(REASSURE)
            doubted = False
            if len(self.steps) == n_turns - 1 and self._draws.chance(CLOSE):
                self._say(side, self._left("close", side))
            elif reassures:
                self._say(side, reassure)
            elif about_theme and self._draws.chance(self._manner.pursue):
                self._say(side, about_theme, telling=True)
            elif side == raiser and about_theme:
                self._usual(side)
            else:
                doubted = self._reply(side)

    def _reply(self, side: Side) -> bool:
        """Add an answer; return whether it doubts."""
        wary = self._unsaid(self._replies["wary"], side)
        if wary and self._draws.chance(self._manner.wary):
            self._say(side, wary)
            return True
        willing = self._unsaid(self._replies["willing"], side)
        if willing and self._draws.chance(WILLING):
            self._say(side, willing)
        else:
            self._usual(side)
        return False

    def _usual(self, side: Side) -> None:
        """Add small talk, or a question or an answer about the thing."""
        about, chat = self._left("ask" if side == "a" else "tell", side), self._left("chat", side)
        small = bool(chat) and self._draws.chance(CHAT)
        self._say(side, chat if small or not about else about)

    def _left(self, act: str, side: Side) -> Lines:
        return self._unsaid(self._acts[act], side)

    def _unsaid(self, lines: Lines, side: Side) -> Lines:
        return tuple(line for line in said_by(lines, side) if line.text not in self._said)

    def _next_side(self) -> Side:
        return "z" if self.steps[-1].side == "a" else "a"

    def _say(self, side: Side, lines: Lines, *, telling: bool = False) -> None:
        template = self._draws.one(lines).text
        self._said.add(template)
        self.steps.append(Step(side, template, telling))
