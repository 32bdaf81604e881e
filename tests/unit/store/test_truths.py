"""Which label counts for which decision, and the counts that come of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from store import detectors, realised
from store.realised import Cell
from store.session import writing
from store.tables import DecisionTable, LabelTable, OutcomeTable
from store.truths import truths

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


@pytest.fixture
def put(store_engine):
    """Store decisions, labels and outcomes; times are minutes after noon."""

    class Put:
        engine = store_engine

        def decision(self, episode="e1", decided=0, *, event=None, **changes):
            row = {
                "id": uuid4(), "detector": "pens", "version": "v1", "stream_id": "s",
                "episode": episode, "label": "a", "probability": 0.9, "halt_step": 2,
                "reason": "threshold", "readiness": None, "threshold": None, "shadow": False,
                "explanation": {}, "trajectory": [], "decided_at": at(decided),
                "event_time": None if event is None else at(event),
            } | changes  # fmt: skip
            with writing(store_engine) as connection:
                connection.execute(insert(DecisionTable), [row])

        def label(self, label="a", received=0, *, time=None, **changes):
            row = {
                "source": "nurse", "label_id": uuid4().hex, "stream_id": "s", "detector": None,
                "episode": None, "label": label, "received_at": at(received), "via": "api",
                "labelled_at": None if time is None else at(time), "key_prefix": None,
            } | changes  # fmt: skip
            with writing(store_engine) as connection:
                connection.execute(insert(LabelTable), [row])

        def outcome(self, stream_id, late, length):
            row = {
                "detector": "pens", "stream_id": stream_id, "episode": "e1", "late_label": late,
                "late_probability": 0.9, "length": length, "ended_at": at(0),
            }  # fmt: skip
            with writing(store_engine) as connection:
                connection.execute(insert(OutcomeTable), [row])

        def serve(self, name, *classes):
            with writing(store_engine) as connection:
                detectors.register(
                    connection, name=name, version="v1", card={}, certificate={}, now=NOON,
                    classes=classes,
                )  # fmt: skip

        def truths(self, detector="pens"):
            truth = truths(detector)
            query = select(truth.c.episode, truth.c.truth, truth.c.contradicted)
            with store_engine.connect() as connection:
                return {row[0]: (row[1], bool(row[2])) for row in connection.execute(query)}

    made = Put()
    made.serve("pens", "a", "b")
    return made


def test_a_label_that_names_its_episode_belongs_to_it(put):
    put.decision("e1", 0)
    put.decision("e2", 60)
    put.label("b", 90, time=90, episode="e1")
    assert put.truths() == {"e1": ("b", False)}


@pytest.mark.parametrize(
    ("time", "episode"), [(-5, "e1"), (0, "e1"), (59, "e1"), (60, "e2"), (900, "e2")]
)
def test_a_time_chooses_the_latest_episode_decided_by_then_or_the_first_after(put, time, episode):
    put.decision("e2", 60)
    put.decision("e1", 0)
    put.label("b", 1000, time=time)
    assert put.truths() == {episode: ("b", False)}


def test_the_time_of_the_records_goes_before_that_of_the_store(put):
    """A replay: both decided today, on records of days ago."""
    put.decision("e1", 100, event=0)
    put.decision("e2", 101, event=60)
    put.label("b", 200, time=30)
    assert put.truths() == {"e1": ("b", False)}


@pytest.mark.parametrize(("received", "episode"), [(-1, "e1"), (30, "e1"), (61, "e2")])
def test_without_a_time_the_receipt_is_compared_with_the_decisions_own(put, received, episode):
    put.decision("e1", 0, event=-9000)
    put.decision("e2", 60, event=9000)
    put.label("b", received)
    assert put.truths() == {episode: ("b", False)}


def test_of_contradicting_labels_the_newest_time_counts_then_the_last_received(put):
    put.decision()
    put.label("a", 30, time=5)
    put.label("b", 20, time=10)
    put.label("a", 10, time=1)
    assert put.truths() == {"e1": ("b", True)}
    put.label("a", 40, time=10)
    assert put.truths() == {"e1": ("a", True)}


def test_a_label_without_a_time_is_as_old_as_its_receipt(put):
    put.decision()
    put.label("a", 30)
    put.label("b", 40, time=20)
    assert put.truths() == {"e1": ("a", True)}


def test_two_sources_that_agree_do_not_contradict(put):
    put.decision()
    put.label("b", 1)
    put.label("b", 2, source="chargebacks")
    assert put.truths() == {"e1": ("b", False)}


def test_labels_of_two_episodes_do_not_contradict_each_other(put):
    put.decision("e1", 0)
    put.decision("e2", 60)
    put.label("a", 0, time=10)
    put.label("b", 0, time=70)
    assert put.truths() == {"e1": ("a", False), "e2": ("b", False)}


def test_one_that_names_no_detector_counts_for_each_that_knows_the_label(put):
    put.serve("ears", "b", "c")
    put.decision()
    put.decision(detector="ears", label="b")
    put.label("b")
    assert put.truths("pens") == {"e1": ("b", False)}
    assert put.truths("ears") == {"e1": ("b", False)}
    put.label("a", 9)
    put.label("neither knows it", 10)
    assert put.truths("pens") == {"e1": ("a", True)}
    assert put.truths("ears") == {"e1": ("b", False)}


def cells(put, **which):
    with Session(put.engine) as session:
        return sorted(realised.cells(session, "pens", **which), key=repr)


def test_decisions_are_counted_by_what_became_of_them(put):
    for n in range(3):
        put.decision(stream_id=f"plain{n}")
    put.label("b", stream_id="plain0")
    for n, late in enumerate(("b", "a")):
        put.decision(stream_id=f"shadow{n}", shadow=True)
        put.outcome(f"shadow{n}", late, 2 + n)
        put.label("b", stream_id=f"shadow{n}")
    put.decision(stream_id="open", shadow=True)
    put.decision(stream_id="other", detector="ears")
    assert cells(put) == sorted(
        [
            Cell("v1", "a", None, False, False, None, None, None, 2),
            Cell("v1", "a", "b", False, False, None, None, None, 1),
            Cell("v1", "a", "b", False, True, "b", 2, False, 1),
            Cell("v1", "a", "b", False, True, "a", 2, True, 1),
            Cell("v1", "a", None, False, True, None, None, None, 1),
        ],
        key=repr,
    )


def test_counts_of_a_version_and_since_a_time(put):
    put.decision("e1", 0)
    put.decision("e2", 60, version="v2")
    put.label("b", 0, time=10)
    put.label("a", 0, time=5)
    assert [(c.version, c.truth, c.contradicted) for c in cells(put)] == [
        ("v1", "b", True),
        ("v2", None, False),
    ]
    assert [c.version for c in cells(put, version="v2")] == ["v2"]
    assert [c.version for c in cells(put, since=at(60))] == ["v2"]
    assert cells(put, since=at(61)) == []
