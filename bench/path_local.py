"""The parts of `bench.path` that need no broker: engine, engine and ledger, embedded service."""

from __future__ import annotations

import gc
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from bench import path_recorded
from bench.path_measured import Measured, Stopwatch
from bench.path_services import migrate
from bench.path_workload import PARTITIONS, TOPIC_ID, detector, events, raw_records
from store.ledger import SqlLedger
from store.log import RecordLog
from store.session import connect
from store.writer import Writer
from streams.batch import Changes, decide, needed_states, sort
from streams.codec import decode, encode
from streams.drivers.embedded import EmbeddedDriver, LogFetcher, LogIngest
from streams.roster import Roster
from streams.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.path_part import Around
    from detectors.detector import Detector
    from store.rows import StateKey, StateRow
    from streams.records import Event, RawRecord, Rejected

    Batch = tuple[Sequence[RawRecord], Sequence[Event | Rejected]]

APPEND = 500
"""Records that a request to the embedded service brings."""
POLL_S = 0.002


def engine(around: Around, kind: str, batch: int) -> Measured:
    """From decoded records to decisions in memory: batches of one partition, in turn."""
    return _engine(detector(kind), raw_records(around.n_streams), batch, around.n_streams)


def recorded_engine(around: Around, name: str, batch: int) -> Measured:
    """Measure the same with a bundled detector and its recorded streams."""
    records = path_recorded.raw_records(name, around.n_records)
    ends = sum(
        b'"end":true' in raw.value for rows in records.values() for raw in rows if raw.value
    )
    return _engine(path_recorded.detector(Path(around.registry), name), records, batch, ends)


def _engine(
    chosen: Detector, records: dict[int, list[RawRecord]], batch: int, n_streams: int
) -> Measured:
    batches = [
        (rows[start : start + batch], [decode(raw.value) for raw in rows[start : start + batch]])
        for start in range(0, max(map(len, records.values())), batch)
        for rows in records.values()
        if rows[start:]
    ]
    memory = Memory(chosen)
    _set_aside_inputs()
    watch, done = Stopwatch(), 0
    watch.mark(0)
    for rows, decoded in batches:
        memory.take(rows, decoded)
        done += len(rows)
        watch.mark(done)
    if memory.n_decisions != n_streams:
        raise WrongCountError(memory.n_decisions, n_streams)
    return watch.measured(
        state_bytes=memory.state_bytes / memory.n_stored,
        states_per_record=memory.n_stored / done,
    )


class Memory:
    """A worker's memory without a ledger."""

    def __init__(self, chosen: Detector) -> None:
        self.roster = Roster([chosen])
        self.states: dict[int, dict[StateKey, StateRow]] = {p: {} for p in range(PARTITIONS)}
        self.n_decisions = self.n_stored = self.state_bytes = 0

    def take(self, rows: Sequence[RawRecord], decoded: Sequence[Event | Rejected]) -> None:
        """Fold a batch into the states."""
        changes: dict[int, Changes] = defaultdict(Changes)
        inboxes = sort(rows, decoded, self.roster, TOPIC_ID, changes)
        needed_states(inboxes)
        decide(self.roster, self._held, inboxes, changes)
        for partition, changed in changes.items():
            self.states[partition].update(changed.states)
            self.n_decisions += len(changed.decisions)
            self.n_stored += len(changed.states)
            self.state_bytes += sum([len(state.data) for state in changed.states.values()])

    def _held(self, partition: int, key: StateKey) -> StateRow | None:
        return self.states[partition].get(key)


def ledger(around: Around, url: str) -> Measured:
    """From records in memory to commits: `Worker.drain`, a partition's slice at a time."""
    records = raw_records(around.n_streams)
    store = connect(url)
    work = Worker(
        Roster([detector("sum")]),
        SqlLedger(store, "bench", "records", TOPIC_ID, PARTITIONS).open(),
        HeldRecords(records),
        topic_id=TOPIC_ID,
    )
    work.assign(records)
    _set_aside_inputs()
    watch, slice_records = Stopwatch(), 5000
    watch.mark(0)
    for stop in range(
        slice_records, max(map(len, records.values())) + slice_records, slice_records
    ):
        for partition, rows in records.items():
            work.drain(partition, min(stop, len(rows)))
            watch.mark(work.counts.records)
    store.dispose()
    if work.counts.decisions != around.n_streams:
        raise WrongCountError(work.counts.decisions, around.n_streams)
    return watch.measured()


class HeldRecords:
    """Records in memory, as a `streams.ports.Fetcher`."""

    def __init__(self, records: dict[int, list[RawRecord]]) -> None:
        self._records = records

    def end(self, partition: int) -> int:
        """Return the number of records."""
        return len(self._records[partition])

    def fetch(self, partition: int, start: int, stop: int, limit: int) -> list[RawRecord]:
        """Return a slice."""
        return self._records[partition][start : min(stop, start + limit)]


def embedded(around: Around) -> Measured:
    """From records appended to the embedded log to commits, by the real driver and writer."""
    url = new_sqlite(around)
    store = connect(url)
    with Writer(store) as writer:
        log = RecordLog(store, 1, transact=writer.transact)
        book = SqlLedger(store, "bench", "log", log.log_id, 1, transact=writer.transact)
        work = Worker(Roster([detector("sum")]), book.open(), LogFetcher(log), topic_id=log.log_id)
        driver = EmbeddedDriver(work, log)
        append_s = _append(LogIngest(log, driver.wake), around.n_streams)
        watch, n_records = Stopwatch(), log.end(0)
        driver.start()
        try:
            while work.counts.records < n_records and driver.failure is None:
                if work.counts.records:
                    watch.mark(work.counts.records)
                time.sleep(POLL_S)
            watch.mark(work.counts.records)
        finally:
            driver.stop()
    store.dispose()
    if work.counts.decisions != around.n_streams:
        raise WrongCountError(work.counts.decisions, around.n_streams)
    return watch.measured(**{f"appended/s by {APPEND}": n_records / append_s})


def _append(ingest: LogIngest, n_streams: int) -> float:
    """Append all records as requests would; return the seconds that took."""
    pairs = [(event.stream_id, encode(event)) for _, event in events(n_streams)]
    began = time.perf_counter()
    for start in range(0, len(pairs), APPEND):
        for answer in ingest.append(pairs[start : start + APPEND]):
            if isinstance(answer, Exception):
                raise answer
    return time.perf_counter() - began


def new_sqlite(around: Around) -> str:
    """Make an SQLite store in the part's own folder; return its URL."""
    url = f"sqlite:///{Path(around.folder) / 'store.sqlite'}"
    migrate(url)
    return url


class WrongCountError(Exception):
    """Not every record was read, or not every stream decided: this is not the path."""

    def __init__(self, got: int, wanted: int) -> None:
        super().__init__(f"counted {got}, wanted {wanted}")


def _set_aside_inputs() -> None:
    """Keep the garbage collector off the inputs, which no service holds in memory at once."""
    gc.collect()
    gc.freeze()
