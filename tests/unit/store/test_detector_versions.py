from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from store import detectors
from store.session import writing

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def register(engine, name, version, card=None, days=0):
    with writing(engine) as connection:
        detectors.register(
            connection,
            name=name,
            version=version,
            card=card or {},
            certificate={"alpha": 0.1},
            now=NOW + timedelta(days=days),
        )


def statuses(engine):
    with Session(engine) as session:
        return [(row.name, row.version, row.status) for row in detectors.versions(session)]


def test_a_new_version_retires_the_one_before_and_touches_no_other_detector(store_engine):
    register(store_engine, "pens", "v1")
    register(store_engine, "ears", "v1")
    register(store_engine, "pens", "v2", days=1)
    assert statuses(store_engine) == [
        ("ears", "v1", "active"),
        ("pens", "v2", "active"),
        ("pens", "v1", "retired"),
    ]


def test_going_back_to_an_old_version_makes_it_active_and_keeps_its_card(store_engine):
    register(store_engine, "pens", "v1", card={"first": True})
    register(store_engine, "pens", "v2", days=1)
    register(store_engine, "pens", "v1", card={"first": False}, days=2)
    assert statuses(store_engine) == [("pens", "v2", "retired"), ("pens", "v1", "active")]
    with Session(store_engine) as session:
        assert detectors.versions(session)[1].card == {"first": True}


def test_only_active_detectors_are_known(store_engine):
    register(store_engine, "pens", "v1")
    with Session(store_engine) as session:
        assert detectors.active_names(session) == {"pens"}


def test_the_alarm_and_the_classes_of_a_version_known_before_are_noted(store_engine):
    """A store from before labels knows its versions without them."""
    register(store_engine, "pens", "v1")
    with writing(store_engine) as connection:
        assert detectors.classes(connection) == {}
        for _ in range(2):
            detectors.register(
                connection, name="pens", version="v1", card={"other": 1}, certificate={},
                now=NOW, classes=("quiet", "alarm"), alarm="alarm",
            )  # fmt: skip
        assert detectors.classes(connection) == {"pens": {"quiet", "alarm"}}
    with Session(store_engine) as session:
        (row,) = detectors.versions(session)
    assert (row.alarm, row.card, row.certificate) == ("alarm", {}, {"alpha": 0.1})
