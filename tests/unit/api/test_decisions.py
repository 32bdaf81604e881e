from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from store import detectors
from store.keys import Scope
from store.session import writing
from store.tables import (
    DeadLetterTable,
    DecisionTable,
    OutcomeTable,
    PartitionRow,
    StateTable,
)

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
both_stores = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def get(api):
    headers = api.headers(Scope.ADMIN)

    def ask(path, **query):
        return api.client.get(path, params=query, headers=headers)

    return ask


def store(api, table, *rows):
    with writing(api.services.engine) as connection:
        connection.execute(insert(table), list(rows))


def walk(get, between=lambda: None, **query):
    """Return the ids on all pages, in order."""
    ids = []
    while True:
        document = get("/v1/decisions", **query).json()
        ids += [row["id"] for row in document["decisions"]]
        if document["next_cursor"] is None:
            return ids
        query["cursor"] = document["next_cursor"]
        between()


@both_stores
@given(
    seconds=st.lists(st.integers(0, 4), max_size=14),
    limit=st.integers(1, 5),
    arriving=st.integers(0, 3),
)
def test_pages_neither_miss_nor_double_a_row_while_others_come(
    api, get, make_decision, seconds, limit, arriving
):
    with writing(api.services.engine) as connection:
        connection.execute(delete(DecisionTable))
    rows = [make_decision(decided_at=NOW + timedelta(microseconds=second)) for second in seconds]
    if rows:
        store(api, DecisionTable, *rows)

    def come():
        for _ in range(arriving):
            store(api, DecisionTable, make_decision(decided_at=NOW + timedelta(hours=1)))

    ordered = sorted(rows, key=lambda row: (row["decided_at"], row["id"]), reverse=True)
    assert walk(get, come, limit=limit) == [str(row["id"]) for row in ordered]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"detector": "ears"}, {1}),
        ({"version": "v2"}, {2}),
        ({"label": "né\U0001f58a"}, {3}),
        ({"stream_id": "a/b c"}, {4}),
        ({"reason": "horizon"}, {5}),
        ({"since": "2026-11-22T10:30:01+01:00"}, {6, 7}),
        ({"until": "2026-11-22T09:30:00Z"}, set()),
        ({"since": "2026-11-22T09:30:01Z", "until": "2026-11-22T09:30:02Z"}, {6}),
        ({"min_probability": 0.95}, {8}),
        ({"max_probability": 0.5}, {9}),
        ({"label": "3", "detector": "ears", "min_probability": 0.9}, {1}),
        ({"label": "' OR 1=1 --"}, set()),
    ],
)
def test_filters_choose_what_they_say(api, add, get, make_decision, query, found):
    changes = {
        1: {"detector": "ears"},
        2: {"version": "v2"},
        3: {"label": "né\U0001f58a"},
        4: {"stream_id": "a/b c"},
        5: {"reason": "horizon"},
        6: {"decided_at": NOW + timedelta(seconds=1)},
        7: {"decided_at": NOW + timedelta(seconds=2)},
        8: {"probability": 0.99},
        9: {"probability": 0.5},
    }
    add(*(make_decision(id=UUID(int=n), **change) for n, change in changes.items()))
    shown = get("/v1/decisions", **query).json()["decisions"]
    assert {UUID(row["id"]).int for row in shown} == found


def test_a_row_shows_its_largest_reasons_and_times_in_utc(add, get, make_decision):
    add(make_decision(event_time=NOW))
    (row,) = get("/v1/decisions").json()["decisions"]
    assert [reason["step"] for reason in row["top_reasons"]] == [1, 2, 3]
    assert row["event_time"] == row["decided_at"] == "2026-11-22T09:30:00Z"
    assert "explanation" not in row


def test_a_cursor_serves_its_own_query_only(add, get, make_decision):
    add(*(make_decision() for _ in range(3)))
    cursor = get("/v1/decisions", limit=1, label="3").json()["next_cursor"]
    assert get("/v1/decisions", limit=2, label="3", cursor=cursor).status_code == 200
    for query in ({}, {"label": "4"}, {"label": "3", "detector": "pendigits"}):
        answer = get("/v1/decisions", cursor=cursor, **query)
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:tocsin:problem:bad-cursor"
    assert get("/v1/dead-letters", cursor=cursor).status_code == 400


def test_a_cursor_changed_anywhere_is_refused(add, get, make_decision):
    add(*(make_decision() for _ in range(3)))
    cursor = get("/v1/decisions", limit=1).json()["next_cursor"]
    for at in range(len(cursor) - 1):
        other = "A" if cursor[at] != "A" else "B"
        changed = cursor[:at] + other + cursor[at + 1 :]
        assert get("/v1/decisions", cursor=changed).status_code == 400, at
    for changed in ("", "x", "=", "é", cursor * 2, cursor[:-3], "A" * 512):
        assert get("/v1/decisions", cursor=changed).status_code == 400, changed
    assert get("/v1/decisions", cursor="A" * 513).status_code == 422


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 501},
        {"limit": "9" * 5000},
        {"limit": "many"},
        {"since": "2026-11-22T09:30:00"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"since": "1e400"},
        {"min_probability": "nan"},
        {"max_probability": 1.5},
        {"reason": "mood"},
        {"stream_id": ""},
        {"stream_id": "a" * 257},
        {"labell": "3"},
    ],
)
def test_a_query_that_does_not_fit_is_422_and_says_where(get, query):
    answer = get("/v1/decisions", **query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["location"] == f"query.{next(iter(query))}"


def test_one_decision_comes_with_all_that_belongs_to_it(api, add, get, make_decision):
    row = make_decision(shadow=True)
    add(row)
    with writing(api.services.engine) as connection:
        detectors.register(
            connection,
            name="pendigits",
            version="v1",
            card={},
            certificate={"alpha": 0.1, "thresholds": [0.5, None], "screening_indices": [3, 1]},
            now=NOW,
        )
    before = get(f"/v1/decisions/{row['id']}").json()
    assert before["outcome"] is None
    episode = {name: row[name] for name in ("detector", "stream_id", "episode")}
    outcome = {"late_label": "8", "late_probability": 0.7, "length": 9, "ended_at": NOW}
    store(api, OutcomeTable, episode | outcome)
    detail = get(f"/v1/decisions/{row['id']}").json()
    assert detail["decision"]["label"] == "3"
    assert detail["outcome"] == outcome | {"ended_at": "2026-11-22T09:30:00Z"}
    assert detail["certificate"] == {"alpha": 0.1, "thresholds": [0.5, None]}
    assert detail["explanation"] == row["explanation"] | {"unit": "nats"}
    assert detail["trajectory"] == row["trajectory"]


def test_a_decision_that_is_not_there_is_404_and_no_id_is_422(get):
    assert get(f"/v1/decisions/{uuid4()}").status_code == 404
    assert get("/v1/decisions/17").status_code == 422


@pytest.mark.parametrize("stream_id", ["pen-1", "a/b/c", "né \U0001f58a", "?x=1#y", " "])
def test_a_stream_is_found_by_any_id_it_can_have(api, add, get, make_decision, stream_id):
    add(*(make_decision(stream_id=stream_id) for _ in range(51)), make_decision(stream_id="b"))
    partition = {
        "id": 1, "group_id": "g", "topic": "t", "topic_id": "i", "partition": 0,
        "n_partitions": 1, "epoch": 1, "next_offset": 0,
    }  # fmt: skip
    store(api, PartitionRow, partition)
    state = {
        "partition_id": 1, "detector": "pendigits", "stream_id": stream_id, "version": "v1",
        "episode": "e", "phase": "open", "steps": 3, "data": b"secret", "updated_at": NOW,
    }  # fmt: skip
    store(api, StateTable, state)
    answer = get("/v1/streams/" + quote(stream_id, safe=""))
    assert answer.status_code == 200
    document = answer.json()
    assert document["stream_id"] == stream_id
    assert document["states"] == [
        {
            "detector": "pendigits", "version": "v1", "phase": "open", "steps": 3,
            "episode": "e", "updated_at": "2026-11-22T09:30:00Z",
        }
    ]  # fmt: skip
    assert len(document["decisions"]) == 50
    cursor = document["next_cursor"]
    rest = get("/v1/decisions", stream_id=stream_id, cursor=cursor).json()["decisions"]
    assert len(rest) == 1


def test_a_stream_nobody_saw_is_404(get):
    assert get("/v1/streams/nobody").status_code == 404


def test_detectors_show_their_promise_without_long_lists(api, get):
    card = {"guarantee": {"alpha": 0.1}, "metrics": {"curve": list(range(99)), "n": 3}}
    for version, given_card in (("v1", card), ("v2", {})):
        with writing(api.services.engine) as connection:
            detectors.register(
                connection,
                name="pendigits",
                version=version,
                card=given_card,
                certificate={"alpha": 0.2, "control": "marginal", "thresholds": [1.0] * 99},
                now=NOW + timedelta(seconds=version == "v2"),
            )
    second, first = get("/v1/detectors").json()["detectors"]
    assert (first["status"], second["status"]) == ("retired", "active")
    assert first["guarantee"] == {"alpha": 0.1}
    assert first["summary"] == {"metrics": {"curve": "99 values", "n": 3}}
    assert second["guarantee"] == {"control": "marginal", "alpha": 0.2}
    whole = get("/v1/detectors/pendigits/v1").json()
    assert whole["card"] == card
    assert whole["certificate"]["thresholds"] == [1.0] * 99
    assert get("/v1/detectors/pendigits/v9").status_code == 404
    assert get("/v1/detectors/pendigits/v%00").status_code in {400, 404, 422}


def test_dead_letters_show_where_and_why_but_never_what(api, get):
    partition = {
        "id": 1, "group_id": "g", "topic": "t", "topic_id": "i", "partition": 5,
        "n_partitions": 8, "epoch": 1, "next_offset": 0,
    }  # fmt: skip
    store(api, PartitionRow, partition)
    letters = [
        {
            "id": n, "partition_id": 1, "record_offset": 40 + n,
            "detector": "pendigits" if n % 2 else "",
            "reason": "schema" if n < 3 else "empty", "detail": "d", "payload": b"private words",
            "failed_at": NOW,
        }
        for n in range(1, 6)
    ]  # fmt: skip
    store(api, DeadLetterTable, *letters)
    first = get("/v1/dead-letters", limit=3)
    assert "private" not in first.text
    shown = first.json()["dead_letters"]
    assert [(row["id"], row["partition"], row["offset"]) for row in shown] == [
        (5, 5, 45),
        (4, 5, 44),
        (3, 5, 43),
    ]
    assert [row["detector"] for row in shown] == ["pendigits", None, "pendigits"]
    second = get("/v1/dead-letters", limit=3, cursor=first.json()["next_cursor"]).json()
    assert [row["id"] for row in second["dead_letters"]] == [2, 1]
    assert second["next_cursor"] is None
    assert len(get("/v1/dead-letters", reason="schema").json()["dead_letters"]) == 2
    assert len(get("/v1/dead-letters", detector="pendigits").json()["dead_letters"]) == 3


@pytest.mark.parametrize(
    "since",
    [
        "2026", "1795339800", "1795339800000", "-5", "2026-11-22", "2026-11-22T09:30:00",
        "2026-11-22T09:30Z", "2026-11-22T09:30:00 01:00", "20261122T093000Z",
        "\u0662026-11-22T09:30:00Z", "2026-13-22T09:30:00Z", "now",
    ],
)  # fmt: skip
def test_a_time_that_is_not_of_rfc_3339_is_refused(get, since):
    for name in ("since", "until"):
        answer = get("/v1/decisions", **{name: since})
        assert answer.status_code == 422, since
        assert answer.json()["errors"][0]["location"] == f"query.{name}"


@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/dead-letters"])
def test_a_parameter_given_twice_is_refused(get, api, path):
    answer = get(path, detector=["a", "b"], limit=3)
    assert answer.status_code == 422
    (item,) = answer.json()["errors"]
    assert (item["location"], item["reason"]) == ("query.detector", "repeated")
    unknown = api.client.get(path, params={"detector": ["a", "b"]})
    assert unknown.status_code == 401, "who may not ask is told nothing else"
