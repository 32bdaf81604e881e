"""The ticker: tells a topic what time it is, by records in each of its partitions.

The only clock of a wall that decisions depend on, and it is read before the log, not behind it:
whoever reads the same log again sees the same ticks at the same places.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import structlog

from store.errors import StoreError
from streams.codec import encode_tick
from streams.errors import StreamError

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger("tocsin.ticks")


class Lease(Protocol):
    """What the ticker needs of `store.leases.Lease`."""

    def take(self) -> bool:
        """Take or renew; False while another holds it."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class Ticker:
    """Appends ticks on a thread of its own, from `start` to `stop`.

    A tick that cannot be appended is left out: the next one tells more. Two tickers at once do no
    harm, nor does a clock that was put back: a tick below a partition's clock changes nothing.

    Parameters
    ----------
    append
        Appends a record to every partition of the topic.
    every_s
        Seconds between two ticks.
    lease
        One process at a time ticks; None: there is one process only.
    now_s
        The clock, seconds from 1970 UTC.
    """

    def __init__(
        self,
        append: Callable[[bytes], None],
        every_s: float,
        *,
        lease: Lease | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._append, self._every_s = append, every_s
        self._lease, self._now_s = lease, now_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ticker", daemon=True)

    def start(self) -> None:
        """Begin, with a tick at once."""
        self._thread.start()

    def stop(self, within_s: float = 10.0) -> None:
        """Tick no more, and give the lease back."""
        self._stopping.set()
        self._thread.join(within_s)

    def tick(self) -> bool:
        """Append a tick, if that is ours to do; return whether it was.

        Raises
        ------
        StoreError, StreamError
            Some partition did not get it.
        """
        if self._lease is not None and not self._lease.take():
            return False
        self._append(encode_tick(datetime.fromtimestamp(self._now_s(), tz=UTC)))
        return True

    def _run(self) -> None:
        while True:
            self._try(self.tick)
            if self._stopping.wait(self._every_s):
                break
        if self._lease is not None:
            self._try(self._lease.release)

    def _try(self, call: Callable[[], object]) -> None:
        try:
            call()
        except (StoreError, StreamError) as error:
            log.warning("tick_missed", trouble=str(error), again_s=self._every_s)
        except Exception as error:
            # Deciding goes on by the records' own times; only silent streams must wait.
            log.exception("ticker_failed", error=type(error).__name__)
