"""Labels are kept as they come: repeats once, contradictions both, unknown streams too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from store import detectors, labels
from store.labels import Fate, Filed, LabelFilter, NewLabel
from store.session import direct, writing
from store.tables import DecisionTable, LabelTable

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def label(label="3", **changes):
    values = {
        "source": "nurse-17", "label_id": uuid4().hex, "stream_id": "pen-1", "label": label,
        "via": "api",
    }  # fmt: skip
    return NewLabel(**(values | changes))


def decide(engine, stream_id="pen-1", detector="pens", episode="e1"):
    row = {
        "id": uuid4(), "detector": detector, "version": "v1", "stream_id": stream_id,
        "episode": episode, "label": "3", "probability": 0.9, "halt_step": 4, "reason": "end",
        "readiness": None, "threshold": None, "shadow": False, "explanation": {},
        "trajectory": [], "event_time": None, "decided_at": NOON,
    }  # fmt: skip
    with writing(engine) as connection:
        connection.execute(insert(DecisionTable), [row])


def serve(engine, name, *classes):
    with writing(engine) as connection:
        detectors.register(
            connection, name=name, version="v1", card={}, certificate={}, now=NOON,
            classes=classes,
        )  # fmt: skip


def add(engine, *given):
    return labels.keep(direct(engine), given)


def n_stored(engine):
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(LabelTable)).scalar_one()


def listed(engine, **which):
    with Session(engine) as session:
        return labels.page(session, LabelFilter(**which), limit=100)


def test_a_label_sent_again_counts_once_in_one_call_or_in_many(store_engine):
    said = label(label_id="visit-9", labelled_at=NOON + timedelta(microseconds=7), detector="d")
    assert [x.fate for x in add(store_engine, said, said)] == [Fate.STORED, Fate.REPEATED]
    assert [x.fate for x in add(store_engine, said)] == [Fate.REPEATED]
    assert n_stored(store_engine) == 1


def test_the_same_instant_in_another_zone_is_the_same_label(store_engine):
    from datetime import timezone

    add(store_engine, label(label_id="x", labelled_at=NOON))
    abroad = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    (filed,) = add(store_engine, label(label_id="x", labelled_at=abroad))
    assert filed.fate is Fate.REPEATED


@pytest.mark.parametrize(
    "change",
    [
        {"label": "4"},
        {"stream_id": "pen-2"},
        {"detector": "pens"},
        {"episode": "e"},
        {"labelled_at": NOON},
    ],
)
def test_a_name_used_again_for_another_statement_is_refused_and_the_first_stays(
    store_engine, change
):
    add(store_engine, label(label_id="x"))
    (filed,) = add(store_engine, label(**{"label_id": "x", **change}))
    assert filed == Filed(Fate.OTHER_CONTENT, matched=False)
    ((row, _),) = listed(store_engine)
    assert (row.label, row.stream_id, row.detector, row.episode) == ("3", "pen-1", None, None)
    assert row.labelled_at is None


def test_two_sources_may_use_one_name_and_both_contradicting_labels_stay(store_engine):
    add(store_engine, label("3", label_id="1"), label("5", label_id="1", source="chargebacks"))
    assert [(x.row.source, x.row.label) for x in listed(store_engine)] == [
        ("chargebacks", "5"),
        ("nurse-17", "3"),
    ]


def test_a_label_that_the_detectors_classes_do_not_hold_is_refused(store_engine):
    serve(store_engine, "pens", "3", "5")
    bad, good, unknown = add(
        store_engine,
        label("dog", detector="pens"),
        label("5", detector="pens"),
        label("dog", detector="ears"),
    )
    assert bad == Filed(Fate.UNKNOWN_LABEL, matched=False)
    assert (good.fate, unknown.fate) == (Fate.STORED, Fate.STORED)
    assert n_stored(store_engine) == 2


def test_the_classes_of_every_version_count(store_engine):
    serve(store_engine, "pens", "3")
    serve(store_engine, "pens", "5")
    serve(store_engine, "pens")
    with store_engine.connect() as connection:
        assert detectors.classes(connection) == {"pens": {"3", "5"}}
    assert [x.fate for x in add(store_engine, label("3", detector="pens"))] == [Fate.STORED]


def test_a_label_before_its_decision_is_unmatched_until_the_decision_is_there(store_engine):
    serve(store_engine, "pens", "3")
    said = label("3", label_id="early")
    assert add(store_engine, said) == [Filed(Fate.STORED, matched=False)]
    decide(store_engine)
    assert add(store_engine, said) == [Filed(Fate.REPEATED, matched=True)]
    assert [x.matched for x in listed(store_engine)] == [True]


@pytest.mark.parametrize(
    ("change", "matched"),
    [
        ({}, True),
        ({"detector": "pens"}, True),
        ({"detector": "ears"}, False),
        ({"episode": "e1"}, True),
        ({"episode": "e2"}, False),
        ({"stream_id": "PEN-1"}, False),
        ({"label": "5"}, False),  # no detector named, and none knows it
    ],
)
def test_a_label_matches_by_stream_detector_and_episode(store_engine, change, matched):
    serve(store_engine, "pens", "3")
    decide(store_engine)
    assert add(store_engine, label(**change)) == [Filed(Fate.STORED, matched=matched)]


def test_that_another_label_is_known_matches_none_that_is_not(store_engine):
    serve(store_engine, "pens", "3")
    decide(store_engine)
    assert [x.matched for x in add(store_engine, label("3"), label("dog"))] == [True, False]
    assert [x.matched for x in listed(store_engine)] == [False, True]


def test_a_page_is_filtered_and_goes_on_below_an_id(store_engine):
    add(store_engine, *(label(label_id=str(n), source=f"s{n % 2}") for n in range(6)))
    add(store_engine, label("5", stream_id="other", detector="pens"))
    with Session(store_engine) as session:
        first = labels.page(session, LabelFilter(source="s1"), limit=2)
        rest = labels.page(session, LabelFilter(source="s1"), before=first[-1].row.id, limit=9)
    assert [x.row.label_id for x in (*first, *rest)] == ["5", "3", "1"]
    for which in ({"stream_id": "other"}, {"detector": "pens"}, {"label": "5"}):
        assert [x.row.stream_id for x in listed(store_engine, **which)] == ["other"]


def test_a_thousand_labels_at_once(store_engine):
    many = [label(label_id=str(n), stream_id=f"s{n}") for n in range(1000)]
    assert {x.fate for x in add(store_engine, *many)} == {Fate.STORED}
    assert {x.fate for x in add(store_engine, *reversed(many))} == {Fate.REPEATED}
    assert n_stored(store_engine) == 1000
    assert add(store_engine) == []


def test_senders_of_the_same_labels_at_once_store_each_once(store_engine):
    many = [label(label_id=str(n)) for n in range(50)]
    fates, failures, start = [], [], Barrier(4)

    def send(given):
        start.wait(20)
        try:
            fates.extend(x.fate for x in add(store_engine, *given))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [Thread(target=send, args=(many[:: (-1) ** n],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert (fates.count(Fate.STORED), fates.count(Fate.REPEATED)) == (50, 150)
