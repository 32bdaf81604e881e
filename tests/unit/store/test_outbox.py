from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

import pytest
from sqlalchemy import func, select, update

from store.instants import utc_now
from store.leases import Lease
from store.ledger import SqlLedger
from store.outbox import Outbox
from store.rows import NewDecision, PartitionCommit
from store.session import writing
from store.tables import DecisionTable, LeaseRow


def decision(n):
    return NewDecision(
        id=uuid5(NAMESPACE_URL, f"{n}"),
        detector="d",
        version="1",
        stream_id=f"s{n}",
        episode="e",
        label="7",
        probability=0.5,
        halt_step=1,
        reason="end",
        readiness=None,
        threshold=None,
        shadow=False,
        explanation={"rest": 0.5},
        trajectory=[{"step": 1}],
        event_time=datetime(2026, 11, 22, tzinfo=UTC),
    )


@pytest.fixture
def outbox(store_engine):
    """The outbox of group g, with five decisions to publish, one a commit."""
    ledger = SqlLedger(store_engine, "g", "events", "id-1", 1)
    ledger.claim([0])
    for n in range(5):
        ledger.commit([PartitionCommit(0, 1, n + 1, decisions=(decision(n),))])
    return Outbox(store_engine, "g")


def test_what_is_pending_is_the_very_decision_oldest_first(outbox):
    pending = outbox.pending(3)
    assert [p.decision for p in pending] == [decision(0), decision(1), decision(2)]
    assert all(p.decided_at.tzinfo is UTC for p in pending)
    assert outbox.size() == 5


def test_a_cleared_outbox_leaves_the_decisions_and_other_groups_alone(outbox, store_engine):
    other = SqlLedger(store_engine, "h", "events", "id-1", 1)
    other.claim([0])
    other.commit([PartitionCommit(0, 1, 1, decisions=(decision(77),))])
    outbox.clear()
    assert outbox.size() == 0
    assert Outbox(store_engine, "h").size() == 1
    with store_engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(DecisionTable)).scalar() == 6


def test_a_discarded_decision_is_not_published_again_but_stays_stored(outbox, store_engine):
    first, _, third, *_ = outbox.pending(10)
    outbox.discard([first.outbox_id, third.outbox_id])
    outbox.discard([first.outbox_id])  # a late publisher may do so again
    outbox.discard([])
    assert [p.decision.stream_id for p in outbox.pending(10)] == ["s1", "s3", "s4"]
    with store_engine.connect() as connection:
        assert len(connection.execute(select(DecisionTable.id)).all()) == 5


def test_an_outbox_id_is_never_given_twice(outbox, store_engine):
    given = [p.outbox_id for p in outbox.pending(10)]
    outbox.discard(given)
    ledger = SqlLedger(store_engine, "g", "events", "id-1", 1)
    epoch = ledger.claim([0])[0].epoch
    ledger.commit([PartitionCommit(0, epoch, 9, decisions=(decision(9),))])
    assert outbox.pending(10)[0].outbox_id > max(given)


def test_a_group_publishes_its_own_decisions_only(outbox, store_engine):
    other = Outbox(store_engine, "h")
    assert other.pending(10) == []
    other.discard([p.outbox_id for p in outbox.pending(10)])
    assert outbox.size() == 5


def expire(engine, name):
    with writing(engine) as connection:
        connection.execute(
            update(LeaseRow).where(LeaseRow.name == name).values(expires_at=utc_now(-1))
        )


def test_one_holder_at_a_time_has_the_lease(store_engine):
    mine, yours = (Lease(store_engine, "job", who, 60) for who in ("me", "you"))
    assert mine.take()
    assert not yours.take()
    assert mine.take(), "taken again it is renewed"
    expire(store_engine, "job")
    assert yours.take(), "an expired lease passes to whoever asks"
    assert not mine.take(), "its former holder learns that it is gone"


def test_a_renewed_lease_lasts_longer(store_engine):
    lease = Lease(store_engine, "job", "me", 60)
    ends = []
    for _ in range(2):
        lease.take()
        with store_engine.connect() as connection:
            ends.append(connection.execute(select(LeaseRow.expires_at)).scalar_one())
        time.sleep(0.005)
    assert ends[0] < ends[1]


def test_a_lease_given_back_is_free_at_once_and_only_its_holder_can(store_engine):
    mine, yours = (Lease(store_engine, "job", who, 60) for who in ("me", "you"))
    mine.take()
    yours.release()
    assert not yours.take()
    mine.release()
    mine.release()
    assert yours.take()


def test_the_lease_of_one_group_does_not_hinder_another(store_engine):
    assert Outbox(store_engine, "g").lease("me", 60).take()
    assert not Outbox(store_engine, "g").lease("you", 60).take()
    assert Outbox(store_engine, "h").lease("you", 60).take()
