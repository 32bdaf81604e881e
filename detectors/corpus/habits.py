"""How people type: capitals and full stops or none, short forms, slips of the finger."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectors.corpus.grammar import Draws

_SENTENCE_START = re.compile(r"(^|[.?!]\s+)([a-z])")
_I = re.compile(r"\bi\b")
_WORD = re.compile(r"[a-z']+")
_ADDRESS = ".example"
_SHORT = {
    "you": "u", "please": "pls", "are": "r", "tomorrow": "tmrw", "because": "bc", "thanks": "thx",
    "your": "ur", "okay": "k", "about": "abt", "with": "w", "for": "4", "to": "2",
}  # fmt: skip
_SMILES = (" :)", " ;)", " :-)", " :(", "!!", "..")
_LONGEST_KEPT = 3
"""Letters of a word in which no finger slips."""


@dataclass(frozen=True, slots=True)
class Habits:
    """One speaker's; drawn in the same way whoever it is."""

    capitals: bool
    full_stops: bool
    short_forms: float
    """Chance that a word with a short form is shortened."""
    slips: float
    """Chance that a word is mistyped."""
    smiles: float
    """Chance that a turn ends on one."""

    @classmethod
    def draw(cls, draws: Draws) -> Habits:
        """Return the habits of another speaker."""
        return cls(
            capitals=draws.chance(0.5),
            full_stops=draws.chance(0.6),
            short_forms=draws.one((0.0, 0.0, 0.0, 0.3, 0.7)),
            slips=draws.one((0.0, 0.0, 0.01, 0.02, 0.05)),
            smiles=draws.one((0.0, 0.0, 0.1, 0.3)),
        )

    def type(self, sentence: str, draws: Draws) -> str:
        """Return `sentence` as this speaker types it.

        >>> from detectors.corpus.grammar import Draws
        >>> neat = Habits(True, True, 0.0, 0.0, 0.0)
        >>> neat.type("hello, i saw it. still there?", Draws("a"))
        'Hello, I saw it. Still there?'
        """
        typed = " ".join(self._word(word, draws) for word in sentence.split(" "))
        if self.capitals:
            typed = _I.sub("I", _SENTENCE_START.sub(lambda m: m[1] + m[2].upper(), typed))
        if draws.chance(self.smiles):
            return typed.removesuffix(".") + draws.one(_SMILES)
        return typed if self.full_stops else typed.removesuffix(".")

    def _word(self, word: str, draws: Draws) -> str:
        short = _SHORT.get(word)
        if short is not None and draws.chance(self.short_forms):
            return short
        letters = _WORD.match(word)
        if letters is None or _ADDRESS in word or letters.end() <= _LONGEST_KEPT:
            return word
        if not draws.chance(self.slips):
            return word
        at = 1 + draws.index(letters.end() - 2)
        dropped = word[:at] + word[at + 1 :]
        doubled = word[:at] + word[at] + word[at:]
        swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return draws.one((dropped, doubled, swapped))
