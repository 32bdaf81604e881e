"""Labels that are due to be learned from, and the states that are left of their streams."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert

from store import detectors, lessons
from store.session import writing
from store.tables import DecisionTable, LabelTable, PartitionRow, StateTable

CLASSES = ("no", "yes")


def ago(minutes):
    return datetime.now(tz=UTC) - timedelta(minutes=minutes)


@pytest.fixture
def put(store_engine):
    """Store decisions, states and labels; times are minutes ago."""

    class Put:
        engine = store_engine

        def __init__(self):
            self.partitions = {}

        def partition(self, group="embedded"):
            if group not in self.partitions:
                row = {"group_id": group, "topic": "t", "topic_id": "t1", "partition": 0,
                       "n_partitions": 1, "epoch": 1, "next_offset": 0}  # fmt: skip
                with writing(store_engine) as connection:
                    made = connection.execute(insert(PartitionRow).returning(PartitionRow.id), row)
                    self.partitions[group] = made.scalar_one()
            return self.partitions[group]

        def state(self, stream="s", episode="e1", data=b"state", *, phase="halted", **changes):
            row = {
                "partition_id": self.partition(changes.pop("group", "embedded")),
                "detector": "talk", "stream_id": stream, "version": "v1", "episode": episode,
                "phase": phase, "steps": 3, "data": data,
                "updated_at": ago(changes.pop("updated", 10)),
            } | changes  # fmt: skip
            with writing(store_engine) as connection:
                connection.execute(insert(StateTable), row)

        def decision(self, stream="s", episode="e1", decided=10, **changes):
            row = {
                "id": uuid4(), "detector": "talk", "version": "v1", "stream_id": stream,
                "episode": episode, "label": "yes", "probability": 0.9, "halt_step": 2,
                "reason": "threshold", "readiness": None, "threshold": None, "shadow": False,
                "explanation": {}, "trajectory": [], "decided_at": ago(decided),
                "event_time": None,
            } | changes  # fmt: skip
            with writing(store_engine) as connection:
                connection.execute(insert(DecisionTable), [row])

        def label(self, label="yes", stream="s", received=5, **changes):
            row = {
                "source": "nurse", "label_id": uuid4().hex, "stream_id": stream, "detector": None,
                "episode": None, "label": label, "received_at": ago(received), "via": "api",
                "labelled_at": None, "key_prefix": None,
            } | changes  # fmt: skip
            with writing(store_engine) as connection:
                made = connection.execute(insert(LabelTable).returning(LabelTable.id), row)
                return made.scalar_one()

        def due(self, after=0, limit=100, **more):
            return lessons.due(store_engine, "talk", CLASSES, after=after, limit=limit, **more)

    with writing(store_engine) as connection:
        detectors.register(
            connection, name="talk", version="v1", card={}, certificate={}, now=ago(0),
            classes=CLASSES,
        )  # fmt: skip
    return Put()


def told(rows):
    return [(row.stream_id, row.label, row.is_first, row.data) for row in rows]


def test_a_label_comes_with_the_state_that_is_left_of_its_stream(put):
    put.state("s", data=b"words")
    put.decision("s")
    number = put.label("yes", "s")
    (row,) = put.due()
    assert row == (number, "s", "yes", True, True, "v1", "halted", b"words")


def test_labels_come_in_their_order_behind_the_last_one_and_no_more_than_asked(put):
    numbers = [put.label(stream=f"s{n}") for n in range(7)]
    assert [row.id for row in put.due()] == numbers
    assert [row.id for row in put.due(after=numbers[2], limit=2)] == numbers[3:5]
    assert put.due(after=numbers[-1]) == []


def test_a_label_without_a_stream_has_no_state(put):
    put.label(stream="nobody")
    (row,) = put.due()
    assert (row.version, row.phase, row.data, row.is_first) == (None, None, None, True)


def test_only_labels_about_this_detector_that_it_knows_are_due(put):
    put.label(detector="other")
    put.label("maybe")
    mine = [put.label(stream="a", detector="talk"), put.label(stream="b")]
    assert [row.id for row in put.due()] == mine


def test_another_detectors_state_is_not_taken_for_ours(put):
    put.state(detector="other")
    put.label()
    assert put.due()[0].data is None


def test_of_several_labels_about_an_episode_only_the_first_counts(put):
    put.state()
    put.decision()
    put.label("yes")
    put.label("no", episode="e1")
    put.label("no", labelled_at=ago(1))
    assert told(put.due()) == [
        ("s", "yes", True, b"state"), ("s", "no", False, b"state"), ("s", "no", False, b"state"),
    ]  # fmt: skip


def test_the_first_is_found_though_it_was_learned_long_ago(put):
    put.state()
    put.decision()
    first = put.label("yes")
    put.label("no")
    assert [row.is_first for row in put.due(after=first)] == [False]


def test_a_later_label_of_another_detector_or_class_makes_none_second(put):
    put.label("yes", detector="other")
    put.label("maybe")
    put.label("yes")
    assert [row.is_first for row in put.due()] == [True]


def test_a_state_of_another_episode_is_not_what_the_label_is_about(put):
    """The stream lives again: its new words are not those that the label speaks of."""
    put.decision(episode="e1", decided=60)
    put.state(episode="e2", phase="open")
    put.label("yes", received=30)
    assert told(put.due()) == [("s", "yes", True, None)]


def test_of_two_lives_each_has_its_own_first_label(put):
    put.decision(episode="e1", decided=60)
    put.decision(episode="e2", decided=20)
    put.state(episode="e2")
    put.label("yes", received=30)
    put.label("no", received=10)
    assert told(put.due()) == [("s", "yes", True, None), ("s", "no", True, b"state")]


def test_before_any_decision_a_label_is_about_the_life_under_way(put):
    put.state(phase="open")
    put.label()
    (row,) = put.due()
    assert (row.phase, row.data) == ("open", b"state")


def test_a_label_that_came_before_its_decision_is_not_learned_twice_with_a_later_one(put):
    put.label("yes", received=30)
    put.decision(decided=10)
    put.state()
    put.label("no", received=5)
    assert [row.is_first for row in put.due()] == [True, False]


def test_of_two_groups_that_hold_the_stream_the_latest_state_counts(put):
    put.state(data=b"old", updated=60)
    put.state(data=b"new", updated=1, group="another")
    put.decision()
    put.label()
    assert told(put.due()) == [("s", "yes", True, b"new")]


def test_an_old_label_is_not_waited_for_any_more(put):
    put.label(stream="a", received=2 * 24 * 60)
    put.label(stream="b", received=20 * 60)
    assert [row.is_fresh for row in put.due()] == [False, True]


def test_put_off_labels_are_looked_up_by_number(put):
    numbers = [put.label(stream=f"s{n}") for n in range(4)]
    put.state("s2")
    put.decision("s2")
    found = lessons.again(put.engine, "talk", CLASSES, [numbers[2], numbers[0], 10**6])
    assert [(row.id, row.data) for row in found] == [(numbers[0], None), (numbers[2], b"state")]
    assert lessons.again(put.engine, "talk", CLASSES, []) == []


def test_labels_of_the_last_seconds_are_left_for_the_next_time(put):
    put.label(stream="a", received=1)
    put.label(stream="b", received=0)
    assert [row.stream_id for row in put.due(settled_s=30.0)] == ["a"]
    assert [row.stream_id for row in put.due(settled_s=0.0)] == ["a", "b"]


def test_the_newest_label_is_known_by_number(put):
    assert lessons.latest(put.engine) == 0
    number = put.label()
    assert lessons.latest(put.engine) == number


def test_a_thousand_labels_are_found_in_pieces_without_a_gap(put):
    with writing(put.engine) as connection:
        connection.execute(
            insert(LabelTable),
            [
                {"source": "n", "label_id": str(n), "stream_id": f"s{n % 700}", "label": "yes",
                 "received_at": ago(5), "via": "api"}
                for n in range(1000)
            ],
        )  # fmt: skip
    found, after = [], 0
    while rows := put.due(after=after, limit=300):
        found += rows
        after = rows[-1].id
    assert len(found) == 1000
    assert sum(row.is_first for row in found) == 700
