"""What every ledger promises, on SQLite (with and without the writer thread) and PostgreSQL."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta, timezone
from uuid import NAMESPACE_URL, uuid5

import pytest
from sqlalchemy import func, select

from store.errors import (
    CommitRefusedError,
    NaiveInstantError,
    OffsetRegressionError,
    TopicChangedError,
)
from store.ledger import SqlLedger
from store.rows import (
    Claim,
    NewDeadLetter,
    NewDecision,
    NewOutcome,
    PartitionCommit,
    StateKey,
    StateRow,
)
from store.tables import DeadLetterTable, DecisionTable, OutboxRow, OutcomeTable, StateTable
from store.writer import Writer


@pytest.fixture(
    params=[
        "sqlite",
        "sqlite, writer thread",
        pytest.param("postgresql", marks=pytest.mark.postgres),
    ]
)
def store(request):
    """The engine, and a function that opens a ledger on it."""
    name = "postgres_engine" if request.param == "postgresql" else "sqlite_engine"
    engine = request.getfixturevalue(name)
    writer = Writer(engine) if "writer" in request.param else None
    yield Store(engine, writer)
    if writer:
        writer.close()


class Store:
    def __init__(self, engine, writer):
        self.engine, self.writer = engine, writer

    def ledger(self, group="g", topic="events", topic_id="id-1", n_partitions=8):
        transact = self.writer.transact if self.writer else None
        ledger = SqlLedger(self.engine, group, topic, topic_id, n_partitions, transact=transact)
        return ledger.open()

    def rows(self, query):
        with self.engine.connect() as connection:
            return connection.execute(query).all()

    def count(self, table):
        return self.rows(select(func.count()).select_from(table))[0][0]


def state(stream_id="s", *, detector="d", data=b"1", steps=1, **other):
    values = {"version": "1", "episode": "e", "phase": "open", **other}
    return StateRow(detector, stream_id, steps=steps, data=data, **values)


def decision(stream_id="s", *, episode="e", **other):
    values = {
        "id": uuid5(NAMESPACE_URL, f"d/{stream_id}/{episode}"),
        "detector": "d",
        "version": "1",
        "label": "7",
        "probability": 0.875,
        "halt_step": 3,
        "reason": "threshold",
        "readiness": 0.9,
        "threshold": 0.8,
        "shadow": False,
        "explanation": {"method": "m", "contributions": []},
        "trajectory": [{"step": 1, "probability": 0.5}],
        "event_time": None,
        **other,
    }
    return NewDecision(stream_id=stream_id, episode=episode, **values)


def outcome(stream_id="s", **other):
    values = {"late_label": "7", "late_probability": 0.5, "length": 9, **other}
    return NewOutcome("d", stream_id, "e", **values)


def letter(offset=0, *, detector=None, detail="got 3, wanted 2", payload=b"{"):
    return NewDeadLetter(offset, "schema", detail, detector, payload)


def batch(partition, epoch, next_offset, clock_s=None, **parts):
    return PartitionCommit(
        partition,
        epoch,
        next_offset,
        clock_s=clock_s,
        **{name: tuple(rows) for name, rows in parts.items()},
    )


# claims and fencing


def test_a_claim_raises_the_epoch_and_says_where_to_go_on(store):
    ledger = store.ledger()
    assert ledger.claim([0, 3]) == {0: Claim(1, 0), 3: Claim(1, 0)}
    assert ledger.commit([batch(3, 1, 17)]) == {3}
    assert store.ledger().claim([3]) == {3: Claim(2, 17)}
    assert ledger.positions() == {0: Claim(1, 0), 3: Claim(2, 17)}


@pytest.mark.parametrize("partitions", [[8], [0, 9]])
def test_a_partition_that_the_topic_did_not_have_is_refused_with_advice(store, partitions):
    ledger = store.ledger(n_partitions=8)
    with pytest.raises(TopicChangedError, match="TOCSIN_GROUP") as refused:
        ledger.claim(partitions)
    assert (refused.value.stored, refused.value.now) == (
        ("id-1", 8),
        ("id-1", max(partitions) + 1),
    )
    assert ledger.positions() == {}
    assert ledger.claim([7]) == {7: Claim(1, 0)}


def test_whoever_lost_the_partition_writes_nothing_at_all(store):
    zombie, owner = store.ledger(), store.ledger()
    zombie.claim([0])
    owner.claim([0])
    everything = batch(
        0,
        1,
        5,
        states=[state()],
        decisions=[decision()],
        outcomes=[outcome()],
        dead_letters=[letter()],
    )
    assert zombie.commit([everything]) == frozenset()
    for table in (StateTable, DecisionTable, OutboxRow, OutcomeTable, DeadLetterTable):
        assert store.count(table) == 0
    assert owner.positions() == {0: Claim(2, 0)}


def test_each_partition_of_a_call_is_stored_or_fenced_alone(store):
    first, second = store.ledger(), store.ledger()
    first.claim([0, 1, 2])
    second.claim([1])
    call = [
        batch(p, 1, 10 + p, states=[state(f"s{p}")], decisions=[decision(f"s{p}")])
        for p in (2, 1, 0)
    ]
    assert first.commit(call) == {0, 2}
    assert {row.stream_id for row in store.rows(select(DecisionTable.stream_id))} == {"s0", "s2"}
    assert store.count(OutboxRow) == 2
    assert first.positions() == {0: Claim(1, 10), 1: Claim(2, 0), 2: Claim(1, 12)}
    assert first.load(1, [StateKey("d", "s1")]) == {}
    assert list(first.load(2, [StateKey("d", "s2")])) == [StateKey("d", "s2")]


def test_a_partition_that_nobody_claimed_is_fenced(store):
    assert store.ledger().commit([batch(0, 1, 1, states=[state()])]) == frozenset()
    assert store.count(StateTable) == 0


def test_an_empty_call_stores_nothing(store):
    assert store.ledger().commit([]) == frozenset()


def test_a_commit_without_rows_still_moves_the_offset(store):
    ledger = store.ledger()
    ledger.claim([0])
    assert ledger.commit([batch(0, 1, 4)]) == {0}
    assert ledger.positions()[0].next_offset == 4


def test_an_owner_cannot_move_backwards_and_its_neighbour_is_stored(store):
    ledger = store.ledger()
    ledger.claim([0, 1])
    ledger.commit([batch(0, 1, 10), batch(1, 1, 10)])
    with pytest.raises(OffsetRegressionError, match=r"partitions \[0\].*Claim these") as caught:
        ledger.commit([batch(0, 1, 9, states=[state("back")]), batch(1, 1, 11)])
    assert caught.value.committed == {1}
    assert ledger.positions() == {0: Claim(1, 10), 1: Claim(1, 11)}
    assert store.count(StateTable) == 0


def test_a_zombie_behind_the_offset_is_fenced_and_not_blamed(store):
    zombie, owner = store.ledger(), store.ledger()
    zombie.claim([0])
    owner.claim([0])
    owner.commit([batch(0, 2, 100)])
    assert zombie.commit([batch(0, 1, 9)]) == frozenset()


def test_the_same_commit_again_under_the_same_epoch_changes_nothing(store):
    ledger = store.ledger()
    ledger.claim([0])
    commit = batch(
        0,
        1,
        5,
        states=[state()],
        decisions=[decision()],
        outcomes=[outcome()],
        dead_letters=[letter(), letter(detector="d")],
    )
    for _ in range(2):
        assert ledger.commit([commit]) == {0}
    tables = (StateTable, DecisionTable, OutboxRow, OutcomeTable, DeadLetterTable)
    assert [store.count(table) for table in tables] == [1, 1, 1, 1, 2]


def test_claims_from_many_threads_get_each_epoch_once(store):
    epochs = []

    def claim():
        ledger = store.ledger()
        for _ in range(10):
            epochs.append(ledger.claim([0])[0].epoch)

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(epochs) == list(range(1, 61))


def test_of_workers_that_fight_for_partitions_only_the_latest_claimer_writes(store):
    """Threads claim and commit the same two partitions crosswise; each success was legitimate."""
    stored = []

    def fight(order):
        ledger = store.ledger()
        for _ in range(8):
            claims = ledger.claim(order)
            done = ledger.commit(
                [
                    batch(p, claims[p].epoch, claims[p].next_offset + 1, states=[state(f"s{p}")])
                    for p in order
                ]
            )
            stored.extend((p, claims[p].next_offset) for p in done)

    threads = [threading.Thread(target=fight, args=(o,)) for o in ([0, 1], [1, 0], [0, 1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    positions = store.ledger().positions()
    for partition in (0, 1):
        offsets = sorted(offset for p, offset in stored if p == partition)
        assert offsets == list(range(positions[partition].next_offset))


# topics


@pytest.mark.parametrize("change", [{"topic_id": "id-2"}, {"n_partitions": 9}])
def test_another_life_of_the_topic_is_refused_with_advice(store, change):
    store.ledger().claim([0])
    with pytest.raises(TopicChangedError, match="new group name") as caught:
        store.ledger(**change)
    assert caught.value.stored == ("id-1", 8)
    other = SqlLedger(
        store.engine, "g", "events", **{"topic_id": "id-1", "n_partitions": 8} | change
    )
    for partition in (0, 5):  # one that the group has, and one that it never read
        with pytest.raises(TopicChangedError):
            other.claim([partition])
    assert store.ledger().positions() == {0: Claim(1, 0)}


def test_another_group_or_another_topic_is_a_ledger_of_its_own(store):
    ledger = store.ledger()
    ledger.claim([0])
    ledger.commit([batch(0, 1, 5, states=[state()])])
    for other in (store.ledger(group="h"), store.ledger(topic="vitals", topic_id="id-2")):
        assert other.claim([0]) == {0: Claim(1, 0)}
        assert other.load(0, [StateKey("d", "s")]) == {}


def test_a_second_group_reads_everything_again_and_decides_nothing_again(store):
    for group in ("g", "h"):
        ledger = store.ledger(group=group)
        ledger.claim([0])
        assert ledger.commit([batch(0, 1, 5, states=[state()], decisions=[decision()])]) == {0}
    assert store.rows(select(OutboxRow.group_id)) == [("g",)]
    assert store.count(StateTable) == 2


# states


def test_a_state_comes_back_as_it_was_committed_last(store):
    ledger = store.ledger()
    ledger.claim([0])
    ledger.commit([batch(0, 1, 1, states=[state(steps=1, data=b"old"), state("t")])])
    new = state(steps=2, data=b"new", version="2", episode="f", phase="halted")
    ledger.commit([batch(0, 1, 2, states=[new])])
    assert ledger.load(0, [StateKey("d", "s")]) == {StateKey("d", "s"): new}


def test_thousands_of_states_are_loaded_at_once_and_missing_ones_left_out(store):
    ledger = store.ledger()
    ledger.claim([0, 1])
    rows = [state(f"s{i}", data=bytes([i % 256]) * 300, steps=i) for i in range(3000)]
    ledger.commit([batch(0, 1, 1, states=rows), batch(1, 1, 1, states=[state("elsewhere")])])
    keys = [StateKey("d", f"s{i}") for i in range(-500, 3000)] + [StateKey("d", "elsewhere")]
    loaded = ledger.load(0, keys)
    assert list(loaded.values()) != []
    assert sorted(loaded.values(), key=lambda row: row.steps) == rows
    assert ledger.load(0, []) == {}


def test_big_and_empty_and_binary_states_survive(store):
    ledger = store.ledger()
    ledger.claim([0])
    blobs = {"big": bytes(range(256)) * 20_000, "empty": b"", "nul": b"\x00\\x00'\xff"}
    ledger.commit([batch(0, 1, 1, states=[state(s, data=blob) for s, blob in blobs.items()])])
    loaded = ledger.load(0, [StateKey("d", s) for s in blobs])
    assert {key.stream_id: row.data for key, row in loaded.items()} == blobs


@pytest.mark.parametrize(
    "name",
    [
        "naïve",
        "日本語",
        "🚨👩‍⚕️",
        "a'b\"c\\d",
        "{x,NULL}",
        "NULL",
        " ",
        "tab\tline\nend",
        "%s %(a)s :b ?",
    ],
)
def test_names_of_any_script_survive(store, name):
    ledger = store.ledger()
    ledger.claim([0])
    row = state(name, detector=name, episode=name, version=name)
    ledger.commit([batch(0, 1, 1, states=[row], decisions=[decision(name, label=name)])])
    assert ledger.load(0, [StateKey(name, name)]) == {StateKey(name, name): row}
    assert store.rows(select(DecisionTable.stream_id, DecisionTable.label)) == [(name, name)]


# what cannot be stored


@pytest.mark.parametrize(
    ("parts", "trouble"),
    [
        ({"states": [state("a\x00b")]}, r"stream_id of states\[0\] holds a null byte"),
        ({"states": [state("x" * 257)]}, r"stream_id of states\[0\] exceeds 256 characters"),
        ({"states": [state("\ud800")]}, "not valid Unicode"),
        ({"states": [state(), state()]}, "two states of one stream"),
        ({"states": [state(phase="asleep")]}, "phase_is_known"),
        ({"decisions": [decision(label="a\x00")]}, "null byte"),
        ({"decisions": [decision(halt_step=0)]}, "halt_step_positive"),
        ({"decisions": [decision(probability=1.5)]}, "probability_in_range"),
        ({"decisions": [decision(probability=float("nan"))]}, "probability"),
        ({"decisions": [decision(reason="whim")]}, "reason_is_known"),
        ({"outcomes": [outcome(late_label="x" * 129)]}, "late_label of outcomes"),
    ],
)
def test_what_the_store_cannot_hold_is_refused_whole(store, parts, trouble):
    ledger = store.ledger()
    ledger.claim([0, 1])
    good = batch(1, 1, 3, states=[state("good")], decisions=[decision("good")])
    with pytest.raises(CommitRefusedError, match=trouble):
        ledger.commit([good, batch(0, 1, 3, **parts)])
    assert ledger.positions() == {0: Claim(1, 0), 1: Claim(1, 0)}
    assert store.count(StateTable) == store.count(DecisionTable) == store.count(OutboxRow) == 0
    assert ledger.commit([good]) == {1}, "the ledger goes on afterwards"


def test_a_refusal_never_shows_the_name_itself(store):
    ledger = store.ledger()
    ledger.claim([0])
    for row in (state("Erika Mustermann\x00"), state("Erika Mustermann", phase="asleep")):
        with pytest.raises(CommitRefusedError) as caught:
            ledger.commit([batch(0, 1, 1, states=[row])])
        assert "Mustermann" not in str(caught.value)


def test_a_partition_may_come_once_in_a_call(store):
    ledger = store.ledger()
    ledger.claim([0])
    with pytest.raises(CommitRefusedError, match="twice"):
        ledger.commit([batch(0, 1, 1), batch(0, 1, 2)])


def test_a_time_without_a_zone_is_refused(store):
    ledger = store.ledger()
    ledger.claim([0])
    naive = datetime(2026, 11, 22, 9, 30)  # noqa: DTZ001
    with pytest.raises(NaiveInstantError, match="no zone"):
        ledger.commit([batch(0, 1, 1, decisions=[decision(event_time=naive)])])
    assert ledger.positions()[0].next_offset == 0


# decisions, outcomes, dead letters


def test_a_decision_comes_back_whole_and_its_times_are_utc(store):
    ledger = store.ledger()
    ledger.claim([0])
    east = timezone(timedelta(hours=9))
    given = decision(
        event_time=datetime(2026, 11, 22, 18, 30, 0, 123456, tzinfo=east),
        readiness=None,
        threshold=None,
        shadow=True,
        explanation={"words": {"ärger": 1.5, "🚨": None}, "rest": 0.0},
        trajectory=[{"step": 1, "p": 0.1}, {"step": 2, "p": 1e-12}],
    )
    ledger.commit([batch(0, 1, 1, decisions=[given, decision("plain")])])
    row = store.rows(select(DecisionTable.__table__).where(DecisionTable.stream_id == "s"))[0]
    for name in given.__slots__:
        assert getattr(row, name) == getattr(given, name)
    assert row.event_time.tzinfo is UTC
    assert abs(row.decided_at - datetime.now(tz=UTC)) < timedelta(minutes=1)


def test_a_decision_that_exists_stays_and_is_published_once(store):
    ledger = store.ledger()
    ledger.claim([0])
    ledger.commit([batch(0, 1, 1, decisions=[decision(label="first")])])
    again = decision(label="second")
    other_id = decision(label="third", id=uuid5(NAMESPACE_URL, "another"))
    ledger.commit([batch(0, 1, 2, decisions=[again])])
    ledger.commit([batch(0, 1, 3, decisions=[other_id, decision(episode="next")])])
    query = select(DecisionTable.episode, DecisionTable.label).order_by(DecisionTable.episode)
    assert store.rows(query) == [("e", "first"), ("next", "7")]
    published = select(OutboxRow.decision_id)
    assert {row[0] for row in store.rows(published)} == {
        decision().id,
        decision(episode="next").id,
    }
    assert store.count(OutboxRow) == 2


def test_a_decision_twice_in_one_batch_is_stored_once(store):
    ledger = store.ledger()
    ledger.claim([0])
    ledger.commit([batch(0, 1, 1, decisions=[decision(label="first"), decision(label="second")])])
    assert store.count(DecisionTable) == store.count(OutboxRow) == 1


def test_explanations_with_null_bytes_and_infinities_are_cleaned_not_refused(store):
    ledger = store.ledger()
    ledger.claim([0])
    dirty = {"word": "a\x00b", "k\x00": float("inf"), "lone": "\ud800", "literal": "\\u0000"}
    ledger.commit([batch(0, 1, 1, decisions=[decision(explanation=dirty)])])
    assert store.rows(select(DecisionTable.explanation))[0][0] == {
        "word": "a\ufffdb",
        "k\ufffd": None,
        "lone": "\ufffd",
        "literal": "\\u0000",
    }


def test_a_late_answer_never_touches_the_decision_and_stays_as_it_was(store):
    ledger = store.ledger()
    ledger.claim([0])
    ledger.commit([batch(0, 1, 1, decisions=[decision()], outcomes=[outcome()])])
    late = [outcome(late_label="3"), outcome("unknown stream")]
    ledger.commit([batch(0, 1, 2, outcomes=late)])
    query = select(OutcomeTable.stream_id, OutcomeTable.late_label, OutcomeTable.length)
    assert sorted(store.rows(query)) == [("s", "7", 9), ("unknown stream", "7", 9)]
    assert store.rows(select(DecisionTable.label)) == [("7",)]


def test_dead_letters_are_kept_once_a_detector_with_any_payload(store):
    ledger = store.ledger()
    ledger.claim([0, 1])
    payload = bytes(range(256)) * 256
    letters = [letter(4, payload=payload), letter(4, detector="d", detail="a\x00b\ud800")]
    ledger.commit([batch(0, 1, 5, dead_letters=letters), batch(1, 1, 5, dead_letters=[letter(4)])])
    ledger.commit([batch(0, 1, 6, dead_letters=[letter(4, detail="other"), letter(5)])])
    table = DeadLetterTable
    rows = store.rows(
        select(table.record_offset, table.detector, table.detail, table.payload).order_by(table.id)
    )
    assert sorted(rows) == sorted(
        [
            (4, "", "got 3, wanted 2", payload),
            (4, "d", "a\ufffdb\ufffd", b"{"),
            (4, "", "got 3, wanted 2", b"{"),
            (5, "", "got 3, wanted 2", b"{"),
        ]
    )


# time


def test_the_clock_moves_with_the_offset_and_is_told_by_a_claim(store):
    ledger = store.ledger()
    assert ledger.claim([0])[0].clock_s is None
    ledger.commit([batch(0, 1, 5, clock_s=1_790_000_000.25)])
    ledger.commit([batch(0, 1, 6)])
    assert store.ledger().claim([0]) == {0: Claim(2, 6, 1_790_000_000.25)}
    assert ledger.commit([batch(0, 1, 7, clock_s=1.8e9)]) == frozenset(), "fenced"
    assert ledger.positions() == {0: Claim(2, 6, 1_790_000_000.25)}


def test_what_is_due_comes_earliest_first_and_no_more_than_asked_for(store):
    ledger = store.ledger()
    ledger.claim([0, 1])
    rows = [state(f"s{k}", deadline_s=float(k)) for k in (5, 3, 9)]
    rows += [state("any tick", deadline_s=-math.inf), state("none")]
    elsewhere = [state("elsewhere", deadline_s=1.0)]
    ledger.commit([batch(0, 1, 1, states=rows), batch(1, 1, 1, states=elsewhere)])
    assert [row.stream_id for row in ledger.due(0, 5.0, 10)] == ["any tick", "s3", "s5"]
    assert ledger.due(0, 5.0, 2)[1] == rows[1]
    assert ledger.due(0, math.inf, 10)[-1] == rows[2]
    assert [ledger.earliest(p) for p in (0, 1, 2)] == [-math.inf, 1.0, math.inf]
    ledger.commit([batch(0, 1, 2, states=[state(r.stream_id) for r in rows[:4]])])
    assert (ledger.due(0, math.inf, 10), ledger.earliest(0)) == ([], math.inf)


def test_what_a_stream_holds_back_survives_and_goes_again(store):
    ledger = store.ledger()
    ledger.claim([0])
    held = [state(f"s{k}", pending=blob) for k, blob in enumerate([b"", bytes(range(256)), None])]
    ledger.commit([batch(0, 1, 1, states=held)])
    keys = [StateKey("d", f"s{k}") for k in range(3)]
    assert sorted(ledger.load(0, keys).values()) == held
    ledger.commit([batch(0, 1, 2, states=[state("s1", deadline_s=7.0)])])
    assert ledger.due(0, 7.0, 5) == [state("s1", deadline_s=7.0)]


def test_what_is_forgotten_is_gone_and_its_decision_stays(store):
    ledger = store.ledger()
    ledger.claim([0, 1])
    both = [batch(p, 1, 1, states=[state("s"), state("t")]) for p in (0, 1)]
    ledger.commit([*both])
    doomed = [StateKey("d", "s"), StateKey("d", "never was"), StateKey("other", "t")]
    more = {"decisions": [decision(reason="idle")], "states": [state("u")]}
    assert ledger.commit([batch(0, 1, 2, forgotten=doomed, clock_s=5.0, **more)]) == {0}
    keys = [StateKey("d", name) for name in "stu"]
    assert sorted(key.stream_id for key in ledger.load(0, keys)) == ["t", "u"]
    assert sorted(key.stream_id for key in ledger.load(1, keys)) == ["s", "t"]
    assert store.rows(select(DecisionTable.reason)) == [("idle",)]


def test_a_zombie_forgets_nothing_and_moves_no_clock(store):
    zombie, owner = store.ledger(), store.ledger()
    zombie.claim([0])
    zombie.commit([batch(0, 1, 1, states=[state()])])
    owner.claim([0])
    late = batch(0, 1, 2, forgotten=[StateKey("d", "s")], clock_s=9.0)
    assert zombie.commit([late]) == frozenset()
    assert owner.positions() == {0: Claim(2, 1)}
    assert owner.load(0, [StateKey("d", "s")]) == {StateKey("d", "s"): state()}


def test_a_state_cannot_be_kept_and_forgotten(store):
    ledger = store.ledger()
    ledger.claim([0])
    with pytest.raises(CommitRefusedError, match="kept and forgotten"):
        ledger.commit([batch(0, 1, 1, states=[state()], forgotten=[StateKey("d", "s")])])
