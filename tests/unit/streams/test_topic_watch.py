from __future__ import annotations

import pytest

from store.errors import TopicChangedError
from streams.drivers.topic_watch import (
    GONE,
    GONE_LOOKS,
    LOOK_TICKS,
    Life,
    TopicWatch,
    WatchedLedger,
    asking,
)
from streams.errors import BrokerError, TopicError
from tests.toys import FakeLedger

KNOWN = Life("id-1", 2)


class FakeBroker:
    """Answers looks, after a while or never."""

    def __init__(self):
        self.says, self.answers, self.n_looks = KNOWN, True, 0

    def look(self):
        self.n_looks += 1
        return self

    def done(self):
        return self.answers

    def answer(self, within_s):
        assert self.answers or within_s > 0, "an answer was waited for"
        return self.says if self.answers else None


@pytest.fixture
def broker():
    return FakeBroker()


@pytest.fixture
def watch(broker):
    return TopicWatch("g", "records", KNOWN, broker.look)


def ticks(watch, n):
    for _ in range(n):
        watch.tick()


@pytest.mark.parametrize("now", [Life("id-2", 2), Life("id-1", 3), Life("id-2", 5)])
def test_another_id_or_size_is_noticed_by_ticks_alone_with_advice(broker, watch, now):
    ticks(watch, 3 * LOOK_TICKS)
    broker.says = now
    with pytest.raises(TopicChangedError, match=r"new group name .TOCSIN_GROUP") as changed:
        ticks(watch, 2 * LOOK_TICKS)
    assert (changed.value.stored, changed.value.now) == (KNOWN, now)


def test_an_assignment_is_looked_at_before_the_usual_time(broker, watch):
    broker.says = Life("id-2", 2)
    watch.hurry()
    with pytest.raises(TopicChangedError):
        ticks(watch, 2)


def test_a_look_is_made_now_and_then_only(broker, watch):
    ticks(watch, 10 * LOOK_TICKS)
    assert broker.n_looks == 10


def test_a_broker_that_does_not_answer_says_nothing_and_is_not_waited_for(broker, watch):
    broker.answers = False
    ticks(watch, 20 * LOOK_TICKS)
    broker.answers = True
    ticks(watch, 2 * LOOK_TICKS)


def test_answers_that_fail_say_nothing_about_the_topic(broker, watch):
    broker.says = None
    ticks(watch, 20 * LOOK_TICKS)


def test_a_topic_gone_for_a_moment_is_forgiven_and_one_gone_for_good_is_not(broker, watch):
    watch.hurry()
    broker.says = GONE
    ticks(watch, GONE_LOOKS)  # the last answer is yet to be judged
    broker.says = KNOWN
    watch.tick()
    broker.says = GONE
    with pytest.raises(TopicError, match=r"is gone.*TOCSIN_GROUP"):
        ticks(watch, LOOK_TICKS + GONE_LOOKS + 1)
    assert broker.n_looks >= 2 * GONE_LOOKS


def test_nothing_is_committed_unless_the_topic_is_known_to_be_the_same(broker, watch):
    stored = []
    inner = FakeLedger()
    inner.commit = lambda commits: stored.append(commits) or frozenset({0})
    ledger = WatchedLedger(inner, watch)
    for says, refusal in (
        (Life("id-2", 2), TopicChangedError),
        (GONE, BrokerError),
        (None, BrokerError),
    ):
        broker.says = says
        with pytest.raises(refusal):
            ledger.commit(["batch"])
    assert stored == []
    broker.says = KNOWN
    assert ledger.commit(["batch"]) == {0}
    assert stored == [["batch"]]


def test_every_commit_asks_anew(broker, watch):
    inner = FakeLedger()
    inner.commit = lambda _: frozenset()
    ledger = WatchedLedger(inner, watch)
    for n in range(1, 4):
        ledger.commit(["batch"])
        assert broker.n_looks == n


def test_a_look_at_an_absent_broker_begins_at_once_and_ends_without_an_answer():
    ask = asking("127.0.0.1:1", "records")
    look = ask()
    assert not look.done()
    assert look.answer(0.2) is None
