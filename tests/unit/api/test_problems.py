from __future__ import annotations

import logging

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

FIELDS = {"type", "title", "status", "detail", "instance", "request_id", "errors"}
SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def is_problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert set(document) == FIELDS
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-ID"]
    for name, value in SECURITY.items():
        assert answer.headers[name] == value
    return document


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/decisions/", 404),
        ("GET", "/v1/streams/", 401),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("DELETE", "/v1/decisions", 405),
        ("OPTIONS", "/v1/events", 405),
        ("TRACE", "/healthz", 405),
        ("GET", "/v1/decisions", 401),
        ("GET", "/v1/decisions/%00", 400),
        ("GET", "/v1/streams/%ff", 400),
        ("GET", "/v1/streams/%ed%a0%80", 400),
        ("GET", "/v1/decisions?stream_id=%00", 400),
        ("GET", "/v1/decisions?stream_id=%ed%a0%80", 400),
        ("GET", "/v1/decisions?%00=1", 400),
    ],
)
def test_every_refusal_is_a_problem_document(api, method, path, status):
    is_problem(api.client.request(method, path), status)


def test_a_wrong_method_says_which_are_right(api):
    assert api.client.put("/v1/events").headers["Allow"] == "POST"


def test_other_origins_get_no_permission(api):
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    for method in ("OPTIONS", "GET"):
        answer = api.client.request(method, "/healthz", headers=headers)
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_https_is_insisted_on_in_production_only(api):
    production = api.remade(profile="production")
    assert "Strict-Transport-Security" in production.client.get("/healthz").headers
    assert "Strict-Transport-Security" not in api.client.get("/healthz").headers


def test_a_plain_request_id_is_kept_and_any_other_replaced(api):
    def echoed(given):
        return api.client.get("/nowhere", headers={"X-Request-ID": given}).headers["X-Request-ID"]

    assert echoed("job-17:a.b_c") == "job-17:a.b_c"
    for hostile in ("", "a b", "<script>", "a" * 65, 'x"y', "née".encode()):
        assert len(echoed(hostile)) == 32


def test_a_fault_of_ours_tells_nothing_but_the_request_id(api, caplog):
    def fault():
        message = "secret words from a record"
        raise RuntimeError(message)

    broken = api.remade(detectors=fault)
    body = {"stream_id": "a", "end": True}
    with caplog.at_level(logging.ERROR, "tocsin.api"):
        answer = broken.client.post("/v1/events", json=body, headers=api.headers())
    document = is_problem(answer, 500)
    assert document["request_id"] in document["detail"]
    assert "RuntimeError" in caplog.text
    assert document["request_id"] in caplog.text
    for text in (answer.text, caplog.text):
        assert "secret words" not in text
    metrics = broken.client.get("/metrics", headers=api.headers()).text
    assert 'route="/v1/events",status="500"' in metrics


def test_a_store_that_is_gone_is_503_and_ready_says_so(api, tmp_path):
    headers = api.headers()
    gone = create_engine(f"sqlite:///{tmp_path}/no/such/folder/x.sqlite")
    lost = api.remade(engine=gone)
    answer = lost.client.get("/v1/decisions", headers=headers)
    assert int(answer.headers["Retry-After"]) > 0
    is_problem(answer, 503)
    not_ready = is_problem(lost.client.get("/readyz"), 503)
    assert [item["reason"] for item in not_ready["errors"]] == ["store"]
    assert str(tmp_path) not in str(not_ready)
    assert lost.client.get("/healthz").status_code == 200


def test_ready_lists_everything_that_fails(api):
    api.ingest.trouble = "no broker"
    other = api.remade(checks=[lambda: None, lambda: "the worker has stopped"])
    document = is_problem(other.client.get("/readyz"), 503)
    assert [item["detail"] for item in document["errors"]] == [
        "no broker",
        "the worker has stopped",
    ]


def test_a_metric_never_holds_a_path(api):
    api.client.get("/v1/streams/name-of-a-person", headers=api.headers())
    api.client.get("/unknown-of-a-person", headers=api.headers())
    api.client.request("BREW", "/healthz")
    text = api.client.get("/metrics", headers=api.headers()).text
    assert "of-a-person" not in text
    assert "BREW" not in text
    assert 'route="/v1/streams/{stream_id' in text
    assert 'method="OTHER"' in text


def test_operational_errors_count_as_a_lost_store_wherever_they_arise(api):
    def lost():
        raise OperationalError(None, None, OSError())

    answer = api.remade(detectors=lost).client.post(
        "/v1/events", json={"stream_id": "a", "end": True}, headers=api.headers()
    )
    is_problem(answer, 503)
