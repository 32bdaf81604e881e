from __future__ import annotations

import json
from uuid import UUID

import pytest

from store.keys import Scope
from streams.codec import decode
from streams.ports import IngestError
from streams.records import MAX_RECORD_BYTES

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def post(api):
    headers = api.headers(Scope.EVENTS_WRITE) | JSON

    def send(body, **more):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return api.client.post("/v1/events", content=content, headers=headers | more)

    return send


def event(**changes):
    return {"stream_id": "pen-1", "event_id": "pen-1/1", "frames": [[1.0, 2.0]]} | changes


def test_an_event_is_appended_as_it_came(api, post):
    raw = b'{"stream_id":  "pen-1", "event_id": "e", "frames": [[1, 2.50]]}'
    answer = post(raw)
    assert answer.status_code == 202
    assert answer.json() == {
        "accepted": 1,
        "rejected": 0,
        "failed": 0,
        "results": [
            {"index": 0, "status": "accepted", "event_id": "e", "partition": 0, "offset": 0}
        ],
    }
    assert api.ingest.records == [("pen-1", raw)]


def test_a_missing_event_id_is_made_appended_and_returned(api, post):
    answer = post({"events": [{"stream_id": "a", "end": True}, {"stream_id": "a", "end": True}]})
    made = [result["event_id"] for result in answer.json()["results"]]
    assert [decode(value).event_id for _, value in api.ingest.records] == made
    assert len({UUID(one) for one in made}) == 2


def test_what_is_wrong_in_a_batch_does_not_cost_its_neighbours(api, post):
    answer = post(
        {
            "events": [
                event(event_id="1"),
                event(detector="nobody"),
                event(frames=[]),
                7,
                event(surprise="value-of-mine"),
                event(event_id="nul\x00"),
                event(event_id="2", detector="pendigits"),
            ]
        }
    )
    assert answer.status_code == 202
    document = answer.json()
    assert (document["accepted"], document["rejected"], document["failed"]) == (2, 5, 0)
    assert [result.get("reason") for result in document["results"]] == [
        None,
        "unknown_detector",
        "no_content",
        "schema",
        "schema",
        "null_byte",
        None,
    ]
    assert [result["index"] for result in document["results"]] == list(range(7))
    assert "value-of-mine" not in answer.text
    assert len(api.ingest.records) == 2


def test_if_nothing_can_be_used_the_answer_is_422_with_every_reason(api, post):
    answer = post({"events": [event(frames=[]), event(stream_id="")]})
    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:tocsin:problem:events-rejected"
    assert [item["reason"] for item in answer.json()["errors"]] == ["no_content", "schema"]
    assert api.ingest.records == []


def test_an_append_that_fails_is_503_and_names_the_ids_to_send_again(api, post):
    api.ingest.answer = lambda stream_id: IngestError("down")
    answer = post({"events": [{"stream_id": "a", "end": True}, event(frames=[])]})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    failed, rejected = answer.json()["errors"]
    assert (failed["status"], rejected["status"]) == ("failed", "rejected")
    assert UUID(failed["event_id"])


def test_an_ingest_that_raises_fails_every_event(api, post):
    def down(stream_id):
        raise IngestError

    api.ingest.answer = down
    assert post({"events": [event(), event()]}).status_code == 503


def test_accepted_failed_and_rejected_stand_side_by_side(api, post):
    api.ingest.answer = lambda stream_id: IngestError("down") if stream_id == "b" else None
    answer = post({"events": [event(stream_id="b"), event(frames=[]), event()]})
    assert answer.status_code == 202
    statuses = [result["status"] for result in answer.json()["results"]]
    assert statuses == ["failed", "rejected", "accepted"]


def test_without_an_ingest_events_are_refused_with_advice(api):
    other = api.remade(ingest=None)
    answer = other.client.post("/v1/events", json=event(), headers=api.headers())
    assert answer.status_code == 503
    assert "TOCSIN_KAFKA_SERVERS" in answer.json()["detail"]


def test_any_detector_may_be_named_where_none_are_listed(api):
    other = api.remade(detectors=None)
    answer = other.client.post("/v1/events", json=event(detector="new"), headers=api.headers())
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"null", 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b'{"events": []}', 422),
        (b'{"events": {}}', 422),
        (b'{"events": [{}], "more": 1}', 422),
        (b'{"events": [NaN]}', 400),
        (b'{"stream_id": "a", "frames": [[NaN]]}', 400),
        (b'{"stream_id": "a", "frames": [[Infinity]]}', 400),
        (b'{"stream_id": "a", "frames": [[1e999]]}', 422),
        (b'{"stream_id": "a\\ud800", "end": true}', 400),
        (b'{"stream_id": "\xff", "end": true}', 422),
        (b'{"\xff": 1}', 400),
        (b"\xef\xbb\xbf{}", 400),
        (b'{"events": ' + b"[" * 100_000, 400),
        (b"[" * 100_000, 422),
        (b'{"stream_id": ' + b'{"a":' * 50_000, 400),
        (b'{"stream_id": "a", "end": true} {"stream_id": "b"}', 400),
        (b'{"stream_id": "a", "end": true, "v": 2}', 422),
        (b'{"events": [' + b"1," * 1000 + b"1]}", 413),
    ],
)
def test_hostile_bodies_are_refused_whole(api, post, body, status):
    answer = post(body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        status,
        "application/problem+json",
    )
    assert api.ingest.records == []


def test_a_body_over_the_limit_is_413_whether_or_not_it_says_so(api, post):
    body = b'{"stream_id": "' + b"a" * (8 * 1024 * 1024) + b'"}'
    assert post(body).status_code == 413
    chunks = (body[i : i + 65536] for i in range(0, len(body), 65536))
    headers = api.headers() | JSON
    assert api.client.post("/v1/events", content=chunks, headers=headers).status_code == 413


def test_a_record_over_its_own_limit_is_rejected_alone(api, post):
    wide = {"stream_id": "a", "frames": [[0.5] * (MAX_RECORD_BYTES // 4)]}
    answer = post({"events": [wide, event()]})
    assert [result.get("reason") for result in answer.json()["results"]] == ["too_large", None]


def test_a_record_that_only_its_new_event_id_makes_too_large_is_rejected(api, post):
    start, end = b'{"stream_id":"a","frames":[[', b"]]}"
    n = (MAX_RECORD_BYTES - len(start) - len(end)) // 2
    body = start + b"1," * (n - 1) + b"1" + end
    assert len(body) <= MAX_RECORD_BYTES
    answer = post(body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["reason"] == "too_large"


def test_other_media_types_and_encodings_are_refused(post):
    assert post(event(), **{"Content-Type": "text/plain"}).status_code == 415
    assert post(event(), **{"Content-Encoding": "gzip"}).status_code == 415
    assert post(event(), **{"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 202


def test_events_are_counted_by_what_became_of_them(api, post):
    post({"events": [event(), event(frames=[])]})
    text = api.client.get("/metrics", headers=api.headers()).text
    assert 'tocsin_api_events_total{status="accepted"} 1.0' in text
    assert 'tocsin_api_events_total{status="rejected"} 1.0' in text
    assert 'route="/v1/events",status="202"' in text
