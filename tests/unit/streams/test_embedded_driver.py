"""The embedded driver on its own: what it does when the store fails, or the engine."""

import time

import pytest

from store.errors import StoreUnavailableError
from streams.codec import encode
from streams.drivers.embedded import EmbeddedDriver, LogIngest
from streams.ports import IngestError
from streams.records import Event
from streams.roster import Roster
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector


class Log(FakeLog):
    """A record log in memory that can be made to fail."""

    n_partitions = 1

    def __init__(self):
        super().__init__(1)
        self.broken = 0

    def end(self, partition):
        if self.broken:
            self.broken -= 1
            raise StoreUnavailableError("the file", "disk full")  # noqa: TRY003  # place, trouble
        return super().end(partition)

    def prune(self, partition, before):
        raise AssertionError  # far too few records

    def append(self, records):
        self.end(0)
        rows = [super(Log, self).append(0, value) for _, value in records]
        return [(0, row.offset) for row in rows]


@pytest.fixture
def parts():
    log, ledger = Log(), FakeLedger()
    worker = Worker(Roster([toy_detector()]), ledger, log, topic_id="t")
    driver = EmbeddedDriver(worker, log)
    yield log, ledger, driver
    driver.stop()


def record(nth):
    event = Event(f"s{nth}", event_id="1", frames=[[9.0, 9.0]], end=True)
    return event.stream_id, encode(event)


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_appended_is_decided(parts):
    log, ledger, driver = parts
    driver.start()
    ingest = LogIngest(log, driver.wake)
    assert ingest.append([record(1), record(2)]) == [(0, 0), (0, 1)]
    until(lambda: len(ledger.decisions) == 2)
    assert driver.failure is None
    assert ingest.ready() is None


def test_a_store_that_fails_for_a_while_costs_time_only(parts):
    log, ledger, driver = parts
    log.append([record(1)])
    log.broken = 3
    driver.start()
    until(lambda: len(ledger.decisions) == 1)
    assert driver.failure is None


def test_an_engine_that_fails_stops_and_says_so(parts):
    log, ledger, driver = parts
    ledger.commit = lambda commits: 1 / 0
    driver.start()
    log.append([record(1)])
    driver.wake()
    until(lambda: driver.failure is not None)
    assert "ZeroDivisionError" in driver.failure
    assert ledger.next == {}


def test_an_append_that_fails_is_told_to_the_caller(parts):
    log, _, driver = parts
    ingest = LogIngest(log, driver.wake)
    log.broken = 1
    (answer,) = ingest.append([record(1)])
    driver.start()
    assert isinstance(answer, IngestError)


def test_a_log_that_cannot_be_read_is_not_ready(parts):
    log, _, driver = parts
    log.broken = 1
    assert "disk full" in LogIngest(log, driver.wake).ready()
    driver.start()


def test_a_commit_whose_answer_is_lost_counts_once(parts):
    log, ledger, driver = parts
    frames = [[0.0, 0.0]]
    rows = [Event("new", event_id=str(k), frames=frames) for k in range(200)]
    log.append([(row.stream_id, encode(row)) for row in rows])
    commit, failing = ledger.commit, iter([True])

    def stored_but_unheard(commits):
        answer = commit(commits)
        if next(failing, False):
            raise StoreUnavailableError("the file", "timed out")  # noqa: TRY003  # as above
        return answer

    ledger.commit = stored_but_unheard
    driver.start()
    until(lambda: ledger.next.get(0) == 200 and driver.worker.owned)
    log.append([(row.stream_id, encode(row)) for row in rows[:1]])
    driver.wake()
    until(lambda: ledger.next[0] == 201)
    (state,) = ledger.states.values()
    assert state.steps == 201  # 200 and one whose id was forgotten long ago


def test_processed_records_do_not_stay_for_ever(parts, monkeypatch):
    log, ledger, driver = parts
    monkeypatch.setattr("streams.drivers.embedded.KEPT_RECORDS", 20)
    monkeypatch.setattr("streams.drivers.embedded.PRUNE_EVERY", 10)
    pruned = []
    log.prune = lambda partition, before: pruned.append((before, ledger.next[partition]))
    driver.start()
    for nth in range(60):
        log.append([record(nth)])
        driver.wake()
        until(lambda n=nth: ledger.next.get(0) == n + 1)
    until(lambda: pruned and pruned[-1][0] == 40)
    assert all(before == reached - 20 for before, reached in pruned)
    assert [before for before, _ in pruned] == [10, 20, 30, 40]


def test_new_versions_are_looked_for_between_batches_and_an_outage_there_is_endured(monkeypatch):
    monkeypatch.setattr("streams.drivers.embedded.FOLLOW_S", 0.0)
    log, ledger, calls = Log(), FakeLedger(), []

    def follow():
        calls.append(len(ledger.decisions))
        if len(calls) == 1:
            raise StoreUnavailableError("the file", "disk full")  # noqa: TRY003  # place, trouble

    worker = Worker(Roster([toy_detector()]), ledger, log, topic_id="t")
    driver = EmbeddedDriver(worker, log, follow=follow)
    driver.start()
    try:
        LogIngest(log, driver.wake).append([record(1)])
        until(lambda: ledger.decisions and len(calls) > 2)
    finally:
        driver.stop()
    assert driver.failure is None
    assert calls[0] == 0
