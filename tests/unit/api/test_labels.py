from __future__ import annotations

import json

import pytest
from sqlalchemy.exc import OperationalError

from store import detectors
from store.errors import StoreUnavailableError, WriterClosedError
from store.keys import Scope
from store.session import writing

NURSE = {"stream_id": "pen-1", "label": "3", "source": "nurse-17"}


@pytest.fixture
def post(api):
    headers = api.headers(Scope.LABELS_WRITE) | {"Content-Type": "application/json"}

    def send(body, **more):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return api.client.post("/v1/labels", content=content, headers=headers | more)

    return send


@pytest.fixture
def read(api):
    headers = api.headers(Scope.DECISIONS_READ)
    return lambda **query: api.client.get("/v1/labels", params=query, headers=headers)


@pytest.fixture
def served(api):
    with writing(api.services.engine) as connection:
        detectors.register(
            connection, name="pendigits", version="v1", card={}, certificate={},
            now=api.services.clock(), classes=("3", "5"),
        )  # fmt: skip


@pytest.fixture
def metric(api):
    headers = api.headers(Scope.METRICS_READ)

    def value(line):
        for row in api.client.get("/metrics", headers=headers).text.splitlines():
            if row.startswith(line + " "):
                return float(row.rpartition(" ")[2])
        return 0.0

    return value


def test_one_label_is_stored_with_its_source_and_the_key_that_sent_it(api, post, read):
    body = NURSE | {
        "label_id": "visit-9", "detector": "pendigits", "episode": "e",
        "time": "2026-11-22T12:30:00+01:00",
    }  # fmt: skip
    answer = post(body)
    assert answer.status_code == 200
    assert answer.json() == {
        "stored": 1, "repeated": 0, "rejected": 0, "unmatched": 1,
        "results": [{"index": 0, "status": "stored", "label_id": "visit-9", "matched": False}],
    }  # fmt: skip
    (label,) = read().json()["labels"]
    received_at, key = label.pop("received_at"), label.pop("key")
    assert label == body | {"time": "2026-11-22T11:30:00Z", "via": "api", "matched": False}
    assert received_at.endswith("Z")
    prefixes = {row["prefix"] for row in _keys(api)}
    assert key in prefixes


def _keys(api):
    from store.keys import listed

    with api.services.engine.connect() as connection:
        return [{"prefix": key.prefix} for key in listed(connection)]


def test_each_label_of_several_gets_its_own_answer_in_order(post, served, add, make_decision):
    add(make_decision())
    answer = post(
        {
            "labels": [
                NURSE | {"label_id": "a", "detector": "pendigits"},
                NURSE | {"label_id": "a", "detector": "pendigits"},
                NURSE | {"label_id": "b", "detector": "pendigits", "label": "dog"},
                NURSE | {"label_id": "a", "detector": "pendigits", "label": "5"},
                NURSE | {"note": "what a person wrote"},
                NURSE | {"stream_id": "nobody"},
                7,
            ]
        }
    )
    assert answer.status_code == 200
    found = answer.json()
    assert [found[name] for name in ("stored", "repeated", "rejected", "unmatched")] == [
        2,
        1,
        4,
        1,
    ]
    assert [(r["status"], r.get("matched"), r.get("reason")) for r in found["results"]] == [
        ("stored", True, None),
        ("repeated", True, None),
        ("rejected", None, "unknown_label"),
        ("rejected", None, "label_id_conflict"),
        ("rejected", None, "schema"),
        ("stored", False, None),
        ("rejected", None, "schema"),
    ]
    assert "what a person wrote" not in answer.text


def test_what_became_of_labels_is_counted(post, served, metric):
    good, bad = NURSE | {"label_id": "a"}, NURSE | {"detector": "pendigits", "label": "dog"}
    post({"labels": [good, good, good, bad]})
    assert metric('tocsin_api_labels_total{status="stored"}') == 1
    assert metric('tocsin_api_labels_total{status="repeated"}') == 2
    assert metric('tocsin_api_labels_total{status="rejected"}') == 1
    assert metric("tocsin_api_labels_unmatched_total") == 3


def test_a_label_without_an_id_gets_one_that_makes_a_repetition_known_if_it_has_a_time(post):
    for body, again in ((NURSE, "stored"), (NURSE | {"time": "2026-11-22T09:00:00Z"}, "repeated")):
        first, second = (post(body).json()["results"][0] for _ in range(2))
        assert (first["status"], second["status"]) == ("stored", again)
        assert (first["label_id"] == second["label_id"]) == (again == "repeated")


def test_if_no_label_can_be_used_the_whole_request_is_a_problem_that_quotes_nothing(post, served):
    answer = post({"labels": [NURSE | {"detector": "pendigits", "label": "secret-word"}, {}]})
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:tocsin:problem:labels-rejected"
    assert [(e["index"], e["reason"]) for e in problem["errors"]] == [
        (0, "unknown_label"),
        (1, "schema"),
    ]
    assert "secret-word" not in answer.text


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b'{"labels": []}', 422),
        (b'{"labels": [{}], "more": 1}', 422),
        (b'{"stream_id": "a\\u0000b", "label": "3", "source": "s"}', 422),
        (b'{"stream_id": "a", "label": "", "source": "s"}', 422),
        (b'{"stream_id": "a", "label": "3", "source": "' + b"x" * 129 + b'"}', 422),
        (b'{"stream_id": "a", "label": "3", "source": "s", "time": "2026-11-22T09:00:00"}', 422),
        (b'{"stream_id": "a", "label": "3", "source": "s", "time": "0001-01-01T00:00:00Z"}', 422),
        (b'{"stream_id": "a", "label": "3", "source": "' + b"x" * 20_000 + b'"}', 422),
        (b'{"labels": [' + b",".join([b"{}"] * 1001) + b"]}", 413),
    ],
)
def test_what_is_no_label_is_refused_and_nothing_is_kept(post, read, body, status):
    assert post(body).status_code == status
    assert read().json() == {"labels": [], "next_cursor": None}


def test_a_text_that_no_terminal_should_obey_is_kept_as_it_came(post, read):
    odd = "\u202e\x1b[2J\n' OR 1=1 --"
    post(NURSE | {"stream_id": odd, "source": odd})
    (label,) = read(stream_id=odd, source=odd).json()["labels"]
    assert (label["stream_id"], label["source"]) == (odd, odd)


def test_a_label_at_every_limit_fits(post, read):
    longest = {
        "stream_id": "\U0001f600" * 256, "label_id": "\U0001f600" * 256, "detector": "ü" * 64,
        "episode": "\U0001f600" * 256, "label": "\U0001f600" * 128, "source": "\U0001f600" * 128,
        "time": "2026-11-22T09:30:00.123456Z",
    }  # fmt: skip
    assert post(longest).json()["stored"] == 1
    (label,) = read().json()["labels"]
    assert {name: label[name] for name in longest} == longest


def test_pages_neither_miss_nor_repeat_and_are_bound_to_their_filters(post, read):
    post({"labels": [NURSE | {"label_id": str(n)} for n in range(5)]})
    post(NURSE | {"label_id": "other", "source": "chargebacks"})
    seen, query = [], {"limit": 2, "source": "nurse-17"}
    while True:
        page = read(**query).json()
        seen += [label["label_id"] for label in page["labels"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == ["4", "3", "2", "1", "0"]
    assert read(**(query | {"source": "chargebacks"})).status_code == 400
    assert read(limit=0).status_code == 422
    assert read(state="open").status_code == 422


def test_a_label_may_come_before_its_decision(post, read, add, make_decision):
    assert post(NURSE | {"detector": "pendigits"}).json()["unmatched"] == 1
    assert [label["matched"] for label in read().json()["labels"]] == [False]
    add(make_decision())
    assert [label["matched"] for label in read().json()["labels"]] == [True]


@pytest.mark.parametrize(
    ("method", "scope"),
    [("post", Scope.DECISIONS_READ), ("post", Scope.EVENTS_WRITE), ("get", Scope.LABELS_WRITE)],
)
def test_another_scope_is_not_enough(api, method, scope):
    answer = getattr(api.client, method)("/v1/labels", headers=api.headers(scope))
    assert answer.status_code == 403


def test_the_body_is_not_read_for_one_without_a_key(api):
    answer = api.client.post("/v1/labels", content=b"{", headers={})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("INSERT", {}, Exception("gone")),
        StoreUnavailableError("here", "gone"),
        WriterClosedError(),
    ],
)
def test_a_store_that_is_gone_is_503_and_may_be_asked_again(api, error):
    def gone(_):
        raise error

    lost = api.remade(transact=gone)
    answer = lost.client.post("/v1/labels", json=NURSE, headers=api.headers())
    assert answer.status_code == 503
    assert answer.headers["Retry-After"]
    assert answer.json()["type"] == "urn:tocsin:problem:unavailable"
