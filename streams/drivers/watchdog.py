"""Ends a process that lives but does not work, so that whoever supervises it starts it anew."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.drivers.steady import Condition

log = structlog.get_logger("tocsin.watchdog")


class Watchdog:
    """Counts seconds without a sign of work, on a thread of its own.

    Liveness is work being done, not a process that answers: a consumer can stay a member of its
    group and be handed nothing, and a lane can hang in a call that never returns. Seconds are
    counted, not read off a clock, so that a process that was stopped is not found guilty of it.

    Parameters
    ----------
    patience_s
        Seconds without a sign of work that are too many.
    give_up
        Called once when patience ends; expected to end the process.
    """

    def __init__(self, patience_s: int, give_up: Callable[[str], None]) -> None:
        self._patience_s = patience_s
        self._give_up = give_up
        self._silent_s = 0
        self._stalled_ticks = 0
        self._before: Condition | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._over.set()

    def hear(self, condition: Condition) -> None:
        """Take the end of a tick as a sign of life, and judge whether work was done."""
        self._silent_s = 0
        if self._before is not None and condition.stalled_since(self._before):
            self._stalled_ticks += 1
        else:
            self._stalled_ticks = 0
        self._before = condition

    def verdict(self) -> str | None:
        """Return why the process should end, or None."""
        if self._silent_s > self._patience_s:
            return f"no tick for {self._silent_s} s: the lane or the event loop hangs"
        if self._stalled_ticks > self._patience_s:
            lag = self._before.lag if self._before else 0
            return f"{lag} records wait and none was committed in {self._stalled_ticks} s"
        return None

    def second(self) -> str | None:
        """Count one second; return the verdict."""
        self._silent_s += 1
        return self.verdict()

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            trouble = self.second()
            if trouble is not None:
                log.critical("watchdog", trouble=trouble)
                self._give_up(trouble)
                return
