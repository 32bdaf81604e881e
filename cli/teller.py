"""What `tocsin up` says of the decisions that it makes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cli.decision_pages import StorePages
from cli.decisions import cells, followed
from cli.output import note

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from cli.decision_pages import Filters, Row

SHOWN_IN_FULL = 3
"""Decisions printed with their reasons before only their number is."""
COUNT_EVERY = 500
"""Decisions between two lines that say how many there are."""


class _ToldToStopError(Exception):
    """There is nobody left to tell."""


class Teller:
    """Print the first new decisions with their reasons, then their number now and then."""

    def __init__(self, engine: Engine) -> None:
        self._pages = StorePages(engine)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def start(self) -> None:
        """Begin with the decisions from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End at the next look at the store, which nothing is read from after that."""
        self._stopping.set()
        self._thread.join()

    def read(self, filters: Filters, limit: int | None) -> Iterator[Row]:
        """Give decisions as `StorePages` does, as long as not told to stop."""
        if self._stopping.is_set():
            raise _ToldToStopError
        return self._pages.read(filters, limit)

    def _run(self) -> None:
        since = {"since": datetime.now(tz=UTC)}
        try:
            for nth, row in enumerate(followed(self, since, SHOWN_IN_FULL), start=1):
                if nth <= SHOWN_IN_FULL:
                    note("decision: " + "  ".join(cells(row)))
                if nth == SHOWN_IN_FULL:
                    note("See them all: `tocsin decisions --follow`, or GET /v1/decisions.")
                if nth % COUNT_EVERY == 0:
                    note(f"{nth} decisions since the start.")
        except _ToldToStopError:
            return
