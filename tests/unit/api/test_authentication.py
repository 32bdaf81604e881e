from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

import pytest

from store import keys
from store.keys import Scope
from store.session import writing

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
A_DAY = timedelta(days=1)
NO_DECISION = "/v1/decisions/00000000-0000-0000-0000-000000000000"
ROUTES = {
    ("POST", "/v1/events"): Scope.EVENTS_WRITE,
    ("GET", "/v1/decisions"): Scope.DECISIONS_READ,
    ("GET", NO_DECISION): Scope.DECISIONS_READ,
    ("GET", "/v1/streams/pen-1"): Scope.DECISIONS_READ,
    ("GET", "/v1/detectors"): Scope.DECISIONS_READ,
    ("GET", "/v1/detectors/pendigits/v1"): Scope.DECISIONS_READ,
    ("POST", "/v1/labels"): Scope.LABELS_WRITE,
    ("GET", "/v1/labels"): Scope.DECISIONS_READ,
    ("GET", "/v1/detectors/pendigits/realised"): Scope.DECISIONS_READ,
    ("GET", "/v1/dead-letters"): Scope.ADMIN,
    ("GET", "/metrics"): Scope.METRICS_READ,
    ("GET", "/openapi.json"): None,
}
BODIES = {
    "/v1/events": b'{"stream_id": "a", "end": true}',
    "/v1/labels": b'{"stream_id": "a", "label": "3", "source": "nurse"}',
}
each_route = pytest.mark.parametrize(("method", "path"), ROUTES)


def ask(api, method, path, key):
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    content = BODIES[path] if method == "POST" else None
    headers["Content-Type"] = "application/json"
    return api.client.request(method, path, headers=headers, content=content)


def test_the_matrix_names_every_route_that_needs_a_key(api):
    paths = api.client.get("/openapi.json", headers=api.headers()).json()["paths"]
    described = {(m.upper(), path) for path, operations in paths.items() for m in operations}
    fill = {
        "{decision_id}": NO_DECISION.rsplit("/", 1)[1],
        "{stream_id}": "pen-1",
        "{name}": "pendigits",
        "{version}": "v1",
    }
    for name, value in fill.items():
        described = {(method, path.replace(name, value)) for method, path in described}
    keyless = {("GET", "/healthz"), ("GET", "/readyz")}
    assert described == (set(ROUTES) - {("GET", "/openapi.json")}) | keyless


@each_route
def test_without_a_valid_key_every_route_answers_401(api, method, path):
    revoked = api.key(Scope.ADMIN)
    with writing(api.services.engine) as connection:
        keys.revoke(connection, revoked.key.prefix, NOW)
    expired = api.key(Scope.ADMIN, expires_at=NOW - A_DAY).plaintext
    wrong = api.key(Scope.ADMIN).plaintext[:-2] + "__"
    for key in (None, "", "x", wrong, expired, revoked.plaintext):
        answer = ask(api, method, path, key)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert answer.json()["type"] == "urn:tocsin:problem:unauthenticated"
    assert api.ingest.records == []


@each_route
def test_each_scope_opens_its_routes_only(api, method, path):
    wanted = ROUTES[method, path]
    for scope in Scope:
        answer = ask(api, method, path, api.key(scope).plaintext)
        if wanted is None or scope in {wanted, Scope.ADMIN}:
            assert answer.status_code in {200, 202, 404}
        else:
            assert answer.status_code == 403
            assert f'scope="{wanted}"' in answer.headers["WWW-Authenticate"]


def test_health_needs_no_key(api):
    assert api.client.get("/healthz").status_code == 200
    assert api.client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "values", [["Basic {key}"], ["{key}"], ["Bearer"], ["Bearer {key}", "Bearer {key}"]]
)
def test_any_other_form_of_the_header_is_refused(api, values):
    key = api.key(Scope.ADMIN).plaintext
    headers = [("Authorization", value.format(key=key)) for value in values]
    assert api.client.get("/v1/decisions", headers=headers).status_code == 401


def test_the_scheme_is_read_in_any_case(api):
    key = api.key(Scope.ADMIN).plaintext
    answer = api.client.get("/v1/decisions", headers={"Authorization": f"bEARER {key}"})
    assert answer.status_code == 200


def test_use_is_noted_and_a_read_only_store_does_not_lock_out(api, caplog):
    issued = api.key(Scope.ADMIN)
    ask(api, "GET", "/v1/decisions", issued.plaintext)
    with api.services.engine.connect() as connection:
        (key,) = keys.listed(connection)
    assert key.last_used_at == NOW

    from store.errors import WriterClosedError

    def refuse(job):
        raise WriterClosedError

    other = api.key(Scope.ADMIN)
    with caplog.at_level(logging.WARNING, "tocsin.api"):
        answer = ask(api.remade(transact=refuse), "GET", "/v1/decisions", other.plaintext)
    assert answer.status_code == 200
    assert other.key.prefix in caplog.text
    assert other.plaintext not in caplog.text
