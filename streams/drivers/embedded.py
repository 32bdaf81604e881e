"""The embedded driver: the record log of the store, read by the same worker, in one process."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import structlog

from store.errors import StoreError, StoreUnavailableError
from streams.ports import IngestError, Position
from streams.records import RawRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.log import RecordLog
    from streams.worker import Worker

GROUP = "embedded"
"""Group id of the embedded service's ledger rows."""
IDLE_S = 0.5
"""How often the log is looked at when nobody says that it grew."""
LONGEST_PAUSE_S = 10.0
"""Between two tries while the store does not answer."""
KEPT_RECORDS = 100_000
"""Processed records that stay in the log, for whoever wants to look; older ones are deleted."""
PRUNE_EVERY = 10_000
"""Records processed between two deletions."""
FOLLOW_S = 2.0
"""How often new versions of the detectors are looked for."""

_log = structlog.get_logger("tocsin.embedded")


class LogFetcher:
    """The record log as a `streams.ports.Fetcher`."""

    def __init__(self, log: RecordLog) -> None:
        self._log = log

    def end(self, partition: int) -> int:
        """Return the offset that the next record will get."""
        return self._log.end(partition)

    def fetch(self, partition: int, start: int, stop: int, limit: int) -> list[RawRecord]:
        """Return the records from `start` on, at most `limit` of them."""
        return [RawRecord(*record) for record in self._log.fetch(partition, start, stop, limit)]


class LogIngest:
    """The record log as a `streams.ports.Ingest`: durable before it returns."""

    def __init__(self, log: RecordLog, wake: Callable[[], None]) -> None:
        self._log, self._wake = log, wake

    def append(self, records: Sequence[tuple[str, bytes]]) -> list[Position | IngestError]:
        """Append all records or none."""
        try:
            positions = self._log.append(records)
        except StoreError as error:
            return [IngestError(str(error))] * len(records)
        self._wake()
        return [Position(*position) for position in positions]

    def append_everywhere(self, value: bytes) -> None:
        """Append a record to every partition; raises StoreError if it cannot be."""
        self._log.append_everywhere(value)
        self._wake()

    def ready(self) -> str | None:
        """None if the log can be read, which the store's own check covers too."""
        try:
            self._log.end(0)
        except StoreError as error:
            return str(error)
        return None


class EmbeddedDriver:
    """Read every partition of the log on one thread, as long as it is not told to stop.

    A store that does not answer is asked again, for ever; any other error ends the thread, and
    `failure` says so: going on could skip a record.

    Parameters
    ----------
    worker, log
        Who processes, and what.
    tidy
        Called now and then, when old records are deleted too.
    follow
        Called every `FOLLOW_S` between two batches, to take up new versions of detectors.
    """

    def __init__(
        self,
        worker: Worker,
        log: RecordLog,
        tidy: Callable[[], None] = lambda: None,
        follow: Callable[[], None] = lambda: None,
    ) -> None:
        self.worker = worker
        self.failure: str | None = None
        self._log, self._tidy = log, tidy
        self._follow, self._followed_at = follow, time.monotonic()
        self._pruned: dict[int, int] = {}
        self._grown, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine")

    def start(self) -> None:
        """Claim the log and begin where the ledger says."""
        self._thread.start()

    def wake(self) -> None:
        """Say that the log grew."""
        self._grown.set()

    def stop(self) -> None:
        """Finish the batch under way and end the thread."""
        self._stopping.set()
        self._grown.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s, claimed = 0.1, False
        while not self._stopping.is_set():
            try:
                if not claimed:
                    self.worker.assign(range(self._log.n_partitions))
                    claimed = True
                self._grown.clear()
                self._look_for_versions()
                self._catch_up()
                pause_s = 0.1
                self._grown.wait(IDLE_S)
            except StoreUnavailableError as error:
                # Nobody knows whether the last commit was stored: the ledger does, on a claim.
                self.worker.revoke(tuple(self.worker.owned))
                claimed = False
                _log.warning("store_unavailable", detail=str(error), retry_s=pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            except Exception as error:  # noqa: BLE001  # whatever it is, the service must say so
                self.failure = f"the engine stopped: {type(error).__name__}"
                _log.exception("engine_stopped", error=type(error).__name__)
                return

    def _look_for_versions(self) -> None:
        if time.monotonic() - self._followed_at >= FOLLOW_S:
            self._follow()
            self._followed_at = time.monotonic()

    def _catch_up(self) -> None:
        for partition in range(self._log.n_partitions):
            self.worker.drain(partition, self._log.end(partition))
            self._prune(partition, self.worker.owned[partition].next_offset - KEPT_RECORDS)

    def _prune(self, partition: int, before: int) -> None:
        if before - self._pruned.get(partition, 0) >= PRUNE_EVERY:
            self._log.prune(partition, before)
            self._tidy()
            self._pruned[partition] = before
