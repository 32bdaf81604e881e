"""Whatever is sent, the answer is never a 5xx."""

from __future__ import annotations

import json
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.keys import Scope

many = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
raw = st.binary(max_size=24)
text = st.text(max_size=20) | st.sampled_from(
    [
        "\x00",
        "\ud800",
        "\u202e",
        "%00",
        "../..",
        "' OR 1=1 --",
        "${jndi:x}",
        "1e999",
        "-0",
        "\x1b[2J",
    ]
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)
event_fields = st.fixed_dictionaries(
    {},
    optional={
        "stream_id": json_values | st.just("s"),
        "v": json_values | st.just(1),
        "event_id": json_values,
        "detector": json_values | st.just("pendigits"),
        "time": json_values | st.datetimes().map(lambda at: at.isoformat() + "+14:00"),
        "frames": json_values | st.lists(st.lists(st.floats(), max_size=3), max_size=3),
        "end": json_values | st.just(True),
    },
)
label_fields = st.fixed_dictionaries(
    {},
    optional={
        "stream_id": json_values | st.just("s"),
        "label": json_values | st.just("3"),
        "source": json_values | st.just("nurse"),
        "v": json_values | st.just(1),
        "label_id": json_values | text,
        "detector": json_values | st.just("pendigits"),
        "episode": json_values | text,
        "time": json_values | st.datetimes().map(lambda at: at.isoformat() + "-14:00"),
        "note": json_values,
    },
)
labels = (
    label_fields
    | json_values
    | st.lists(label_fields | json_values, max_size=5).map(lambda items: {"labels": items})
)
bodies = (
    raw
    | json_values.map(lambda value: json.dumps(value).encode())
    | event_fields.map(lambda value: json.dumps(value).encode())
    | st.lists(event_fields | json_values, max_size=5).map(
        lambda items: json.dumps({"events": items}).encode()
    )
    | event_fields.map(
        lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    )
)
names = st.sampled_from(
    ["detector", "version", "label", "stream_id", "reason", "since", "until", "min_probability",
     "max_probability", "source", "cursor", "limit", "offset"]
)  # fmt: skip


@pytest.fixture
def lone(sqlite_engine, make_application):
    """Where the store hardly matters, one database is enough."""
    return make_application(sqlite_engine)


@pytest.fixture
def lone_headers(lone):
    return lone.headers(Scope.ADMIN)


@pytest.fixture
def headers(api):
    return api.headers(Scope.ADMIN)


def check(answer):
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"


@many
@given(body=bodies)
def test_as_a_body(lone, lone_headers, body):
    answer = lone.client.post(
        "/v1/events", content=body, headers=lone_headers | {"Content-Type": "application/json"}
    )
    check(answer)
    if answer.status_code == 202:
        assert answer.json()["accepted"] > 0


@many
@given(body=labels)
def test_as_a_label(api, headers, body):
    content = json.dumps(body).encode()
    answer = api.client.post(
        "/v1/labels", content=content, headers=headers | {"Content-Type": "application/json"}
    )
    check(answer)
    if answer.status_code == 200:
        assert answer.json()["stored"] + answer.json()["repeated"] > 0


@many
@given(
    query=st.lists(
        st.tuples(names, raw | text.map(lambda s: s.encode("utf-8", "surrogatepass"))), max_size=4
    )
)
def test_as_a_query(api, headers, query):
    encoded = "&".join(f"{name}={quote_from_bytes(value)}" for name, value in query)
    for path in (
        "/v1/decisions",
        "/v1/dead-letters",
        "/v1/labels",
        "/v1/detectors/pendigits/realised",
    ):
        check(api.client.get(f"{path}?{encoded}", headers=headers))


@many
@given(
    path=st.sampled_from(["/v1/streams/", "/v1/decisions/", "/v1/detectors/", "/", "/v1/"]),
    rest=raw | text.map(lambda s: s.encode("utf-8", "surrogatepass")),
)
def test_as_a_path(api, headers, path, rest):
    check(api.client.get(path + quote_from_bytes(rest, safe="/"), headers=headers))


@many
@given(
    name=st.sampled_from(["Authorization", "X-Request-ID", "Content-Type", "Accept", "Cookie"]),
    value=st.binary(max_size=40).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"")),
    scheme=st.sampled_from([b"", b"Bearer ", b"Bearer tocsin_"]),
)
def test_as_a_header(lone, lone_headers, name, value, scheme):
    given_headers = [(k.encode(), v.encode()) for k, v in lone_headers.items() if k != name]
    given_headers.append((name.encode(), scheme + value))
    check(lone.client.get("/v1/decisions", headers=given_headers))
