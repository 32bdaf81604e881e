"""The ticker: what it appends, when it is its turn, and what it lives through."""

import threading
import time

import pytest

from store.errors import StoreUnavailableError
from store.log import RecordLog
from streams.codec import decode_tick, encode
from streams.drivers.embedded import EmbeddedDriver, LogFetcher, LogIngest
from streams.errors import BrokerError
from streams.records import Event
from streams.roster import Roster
from streams.ticks import Ticker
from streams.worker import Worker
from tests.toys import FakeLedger, toy_detector

NOW_S = 1_795_340_000.5


class Lease:
    def __init__(self, *answers):
        self.answers, self.released = list(answers), False

    def take(self):
        answer = self.answers.pop(0) if self.answers else True
        if isinstance(answer, Exception):
            raise answer
        return answer

    def release(self):
        self.released = True


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_tick_tells_the_time():
    told = []
    assert Ticker(told.append, 10.0, now_s=lambda: NOW_S).tick()
    assert decode_tick(told[0]).timestamp() == NOW_S


def test_who_does_not_hold_the_lease_is_silent():
    told, lease = [], Lease(False, True)
    ticker = Ticker(told.append, 10.0, lease=lease)
    assert [ticker.tick(), ticker.tick()] == [False, True]
    assert len(told) == 1


def test_it_ticks_at_once_and_then_again_and_gives_the_lease_back():
    told, lease = [], Lease()
    ticker = Ticker(told.append, 0.02, lease=lease)
    ticker.start()
    until(lambda: len(told) >= 4)
    ticker.stop()
    assert lease.released
    n = len(told)
    time.sleep(0.06)
    assert len(told) == n


@pytest.mark.parametrize(
    "trouble",
    [StoreUnavailableError("here", "gone"), BrokerError("away"), ZeroDivisionError()],
)
def test_trouble_costs_a_tick_and_no_more(trouble):
    told, lease = [], Lease(True, trouble, trouble)
    ticker = Ticker(told.append, 0.01, lease=lease)
    ticker.start()
    until(lambda: len(told) >= 3)
    ticker.stop()


def test_the_embedded_log_gets_a_tick_in_each_partition(sqlite_engine):
    log, woken = RecordLog(sqlite_engine, 3), threading.Event()
    ingest = LogIngest(log, woken.set)
    ingest.append([("a", b"1"), ("b", b"2")])
    before = [log.end(p) for p in range(3)]
    Ticker(ingest.append_everywhere, 10.0, now_s=lambda: NOW_S).tick()
    assert [log.end(p) for p in range(3)] == [end + 1 for end in before]
    for partition, end in enumerate(before):
        (row,) = log.fetch(partition, end, end + 1, 5)
        assert decode_tick(row.value).timestamp() == NOW_S
    assert woken.is_set()


def test_a_silent_stream_of_the_embedded_service_ends(sqlite_engine):
    log, ledger = RecordLog(sqlite_engine, 1), FakeLedger()
    worker = Worker(Roster([toy_detector(idle_s=60.0)]), ledger, LogFetcher(log), topic_id="t")
    driver = EmbeddedDriver(worker, log)
    ingest, now = LogIngest(log, driver.wake), [NOW_S]
    driver.start()
    ticker = Ticker(ingest.append_everywhere, 0.01, now_s=lambda: now[0])
    ticker.start()
    try:
        event = Event("a", event_id="1", frames=[[0.1, 0.1]])
        ingest.append([("a", encode(event))])
        until(lambda: worker.counts.records and worker.counts.ticks > 2)
        assert not ledger.decisions
        now[0] += 61.0
        until(lambda: ledger.decisions)
    finally:
        ticker.stop()
        driver.stop()
    (decision,) = ledger.decisions.values()
    assert (decision.reason, decision.event_time.timestamp()) == ("idle", NOW_S)
    assert driver.failure is None
