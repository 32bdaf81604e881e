from __future__ import annotations

import pytest

from store.errors import OtherDetectorsError, StoreUnavailableError
from streams.codec import encode
from streams.drivers.steady import (
    CUT_TICKS,
    LONGEST_PAUSE_TICKS,
    OVERDUE_S,
    SLICE,
    Condition,
    SteadyWorker,
)
from streams.drivers.watchdog import Watchdog
from streams.errors import BrokerError, RecordsLostError, TopicError
from streams.records import Event
from streams.roster import Roster
from streams.worker import Worker
from tests.toys import FakeLedger, FakeLog, toy_detector

SESSION = 6


class Surroundings:
    """A ledger and a log that can be switched off."""

    def __init__(self, n_partitions=2, n_records=10):
        self.ledger, self.log = FakeLedger(), FakeLog(n_partitions)
        self.store_gone = self.broker_gone = False
        for partition in range(n_partitions):
            for i in range(n_records):
                event = Event(f"s{partition}-{i % 3}", event_id=f"e{i}", frames=[[0.1, 0.1]])
                self.log.append(partition, encode(event))
        for name in ("claim", "load", "commit"):
            setattr(self.ledger, name, self._guard(getattr(self.ledger, name), "store"))
        for name in ("end", "fetch"):
            setattr(self.log, name, self._guard(getattr(self.log, name), "broker"))
        self.beats, self.now_s, self.refused = 0, 0.0, False
        worker = Worker(
            Roster([toy_detector()]), self.ledger, self.log, topic_id="t", session_ticks=SESSION
        )
        self.steady = SteadyWorker(
            worker,
            session_ticks=SESSION,
            drain_lag=3000,
            beat=self._beat,
            clock=lambda: self.now_s,
        )

    def _guard(self, call, what):
        def guarded(*arguments):
            if what == "store" and self.store_gone:
                raise StoreUnavailableError("here", "switched off")
            if what == "broker" and self.broker_gone:
                message = "switched off"
                raise BrokerError(message)
            return call(*arguments)

        return guarded

    def _beat(self):
        if self.refused:
            raise OtherDetectorsError("g", "me", "the new one")
        self.beats += 1

    def tick(self, n=1, *, overslept=False):
        for _ in range(n):
            condition = self.steady.tick(overslept=overslept)
        return condition

    def deliver(self, partition, first, last):
        self.steady.process(self.log.rows[partition][first:last])


def test_what_a_lost_store_kept_from_counting_is_done_once_it_is_back():
    around = Surroundings()
    around.steady.assign([0, 1])
    around.deliver(0, 0, 3)
    around.store_gone = True
    around.deliver(0, 3, 6)
    assert around.tick(3).outage
    assert around.steady.worker.owned == {}
    around.store_gone = False
    condition = around.tick(LONGEST_PAUSE_TICKS + 4)
    assert (condition.lag, condition.outage) == (0, False)
    assert around.ledger.next == {0: 10, 1: 10}
    assert around.steady.worker.counts.records == 20


def test_an_assignment_that_the_store_cannot_take_is_claimed_later():
    around = Surroundings()
    around.store_gone = True
    around.steady.assign([0, 1])
    assert around.steady.worker.owned == {}
    around.store_gone = False
    around.tick(2)
    assert set(around.steady.worker.owned) == {0, 1}


def test_tries_grow_rarer_but_never_rarer_than_the_longest_pause():
    around = Surroundings()
    around.store_gone = True
    around.steady.assign([0])
    around.tick(60)
    around.store_gone = False
    around.tick(LONGEST_PAUSE_TICKS)
    assert set(around.steady.worker.owned) == {0}


def test_a_woken_process_does_not_claim_before_it_can_have_heard_from_the_broker():
    around = Surroundings()
    around.store_gone = True
    around.steady.assign([0])
    around.store_gone = False
    around.tick(overslept=True)
    around.tick(SESSION + 1)
    assert around.steady.worker.owned == {}
    around.tick()
    assert set(around.steady.worker.owned) == {0}


def test_what_was_revoked_during_an_outage_is_not_claimed_after_it():
    around = Surroundings()
    around.store_gone = True
    around.steady.assign([0, 1])
    around.steady.revoke([1])
    around.store_gone = False
    around.tick(3)
    assert set(around.steady.worker.owned) == {0}


def test_an_absent_broker_costs_no_claim():
    around = Surroundings()
    around.steady.assign([0, 1])
    epochs = dict(around.ledger.epochs)
    around.broker_gone = True
    around.deliver(0, 5, 7)  # a gap that cannot be read now
    assert around.tick(5).outage
    around.broker_gone = False
    assert around.tick(5).lag == 0
    assert around.ledger.epochs == epochs


def test_records_lost_for_good_end_the_worker():
    around = Surroundings()
    around.steady.assign([0])

    def gone(*_):
        raise RecordsLostError("t", 0, 5, 8)

    around.log.fetch = gone
    with pytest.raises(RecordsLostError):
        around.tick(5)


def test_a_backlog_is_read_in_slices_by_turns():
    n = 2 * SLICE + 100
    around = Surroundings(n_partitions=2, n_records=n)
    around.steady.assign([0, 1])
    seen = []
    while around.steady.drain_slice():
        seen.append(dict(around.ledger.next))
    assert seen[0] == {0: SLICE}
    assert seen[1] == {0: SLICE, 1: SLICE}
    assert seen[-1] == {0: n, 1: n}


def test_a_small_lag_is_left_to_the_driver_unless_the_driver_tells_old_news():
    around = Surroundings()
    around.steady.assign([0])
    assert around.steady.drain_slice() is False
    around.steady.worker.drain(0, 8)
    around.deliver(0, 2, 5)
    assert around.steady.drain_slice() is True
    assert around.ledger.next[0] == 10
    around.deliver(0, 9, 10)  # the driver has caught up
    around.log.append(0, encode(Event("s", end=True)))
    assert around.steady.drain_slice() is False


def test_a_revoked_partition_is_drained_no_further():
    around = Surroundings(n_partitions=1, n_records=3 * SLICE)
    around.steady.assign([0])
    around.steady.drain_slice()
    around.steady.revoke([0])
    assert around.steady.drain_slice() is False
    assert around.ledger.next == {0: SLICE}


def test_the_group_hears_from_the_worker_regularly_and_after_a_sleep():
    around = Surroundings()
    around.tick(10)
    assert around.beats == 2
    around.tick(overslept=True)
    assert around.beats == 3


def test_a_worker_refused_by_its_group_neither_claims_nor_commits():
    around = Surroundings()
    around.steady.assign([0])
    around.deliver(0, 0, 3)
    epochs, reached = dict(around.ledger.epochs), dict(around.ledger.next)
    around.refused = True
    around.now_s += OVERDUE_S + 1  # asleep, while others came with other detectors
    for awake in (
        lambda: around.steady.assign([0, 1]),
        lambda: around.deliver(0, 3, 6),
        lambda: around.steady.tick(overslept=True),
    ):
        with pytest.raises(OtherDetectorsError):
            awake()
    assert (around.ledger.epochs, around.ledger.next) == (epochs, reached)


def test_a_woken_worker_refused_by_its_group_reads_no_backlog_either():
    around = Surroundings(n_partitions=1, n_records=SLICE)
    around.steady.assign([0])
    around.refused = True
    around.now_s += OVERDUE_S + 1
    with pytest.raises(OtherDetectorsError):
        around.steady.drain_slice()
    assert around.ledger.next == {}


def test_a_worker_that_beats_in_time_asks_no_more_than_that():
    around = Surroundings()
    around.steady.assign([0])
    beats = around.beats
    for at in range(10):
        around.now_s += OVERDUE_S / 20
        around.deliver(0, at, at + 1)
    assert around.beats == beats


def test_a_partition_that_stays_shorter_than_its_next_offset_ends_the_worker_with_advice():
    around = Surroundings()
    around.steady.assign([0, 1])
    around.deliver(0, 0, 10)
    del around.log.rows[0][4:]
    around.tick(CUT_TICKS - 1)
    with pytest.raises(TopicError, match=r"ends at 4.* next record to read is 10.*TOCSIN_GROUP"):
        around.tick()


def test_an_end_that_was_old_news_once_ends_nothing_and_hides_no_lag():
    around = Surroundings()
    around.steady.assign([0, 1])
    around.deliver(0, 0, 10)
    rows = list(around.log.rows[0])
    for _ in range(2 * CUT_TICKS):
        del around.log.rows[0][4:]
        assert around.tick().lag >= 0
        around.log.rows[0][:] = rows
        around.tick()


def watched(*conditions, patience=3):
    watchdog = Watchdog(patience, lambda _: None)
    for condition in conditions:
        watchdog.second()
        watchdog.hear(condition)
    return watchdog


def stuck(position=5, *, lag=1, outage=False):
    return Condition((0,), lag=lag, position=position, outage=outage)


def test_the_watchdog_ends_a_worker_that_has_work_and_does_none():
    assert watched(*[stuck()] * 4).verdict() is None
    assert "none was committed in 4 s" in watched(*[stuck()] * 5).verdict()


@pytest.mark.parametrize(
    "conditions",
    [
        [stuck(position) for position in range(20)],
        [stuck(lag=0)] * 20,
        [stuck(outage=True)] * 20,
        [*[stuck()] * 4, stuck(6), *[stuck(6)] * 3],
    ],
    ids=["works", "has nothing to do", "waits for its surroundings", "works now and then"],
)
def test_the_watchdog_leaves_a_worker_alone_that(conditions):
    assert watched(*conditions).verdict() is None


def test_the_watchdog_ends_a_process_whose_ticks_stop():
    watchdog = watched(stuck(lag=0))
    verdicts = [watchdog.second() for _ in range(4)]
    assert verdicts[:3] == [None] * 3
    assert "hangs" in verdicts[3]


def test_the_watchdog_gives_up_once_from_its_own_thread():
    said = []
    watchdog = Watchdog(0, said.append)
    watchdog.start()
    watchdog._thread.join(5)
    assert len(said) == 1
