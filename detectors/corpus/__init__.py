"""The bundled text set `shop-talk`: conversations about buying and selling. MADE UP, every word.

Its lines are templates in the TOML files beside this one, and the conversations are drawn from
them when the set is asked for: `templates` reads the lines, `plot` decides the course of a
conversation, `facts` and `habits` who talks about what and how, `conversations` draws them, and
`streams` puts them into the form of a data set.
"""

from __future__ import annotations

from detectors.corpus.conversations import SEED, Conversation, Turn, conversations
from detectors.corpus.streams import NAME, fingerprint, make, parts

__all__ = [
    "NAME",
    "SEED",
    "Conversation",
    "Turn",
    "conversations",
    "fingerprint",
    "make",
    "parts",
]
