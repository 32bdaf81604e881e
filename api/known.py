"""Which detectors serve, as the store knows it, asked no more than every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from store import detectors

FRESH_S = 2.0


class KnownDetectors:
    """A callable that gives the names of the active detectors; safe to share between threads."""

    def __init__(self, engine: Engine, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock_s = clock_s
        self._asked: tuple[float, frozenset[str]] | None = None

    def __call__(self) -> frozenset[str]:
        """Return the names, at most `FRESH_S` old."""
        asked = self._asked
        now_s = self._clock_s()
        if asked is None or now_s - asked[0] > FRESH_S:
            with Session(self._engine) as session:
                asked = (now_s, detectors.active_names(session))
            self._asked = asked
        return asked[1]
