"""Requests that never end, or that end in two places."""

from __future__ import annotations

import asyncio
import json

import pytest

from api import body


def served(api, headers, receive):
    """Return status, headers and document that the application answers, spoken to as a server."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/events", "raw_path": b"/v1/events",
        "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    asyncio.run(api.client.app(scope, receive, send))
    answered = dict(sent[0]["headers"])
    return sent[0]["status"], answered, json.loads(sent[1]["body"])


@pytest.mark.parametrize("first", [b"", b'{"stream_id": "a",'])
def test_a_body_that_does_not_come_is_not_waited_for(api, monkeypatch, first):
    monkeypatch.setattr(body, "BODY_S", 0.05)
    parts = [{"type": "http.request", "body": first, "more_body": True}]

    async def receive():
        if parts:
            return parts.pop()
        await asyncio.sleep(60)
        raise AssertionError

    status, answered, document = served(api, api.headers(), receive)
    assert (status, answered[b"connection"]) == (408, b"close")
    assert document["type"] == "urn:tocsin:problem:too-slow"
    assert api.ingest.records == []


def test_two_lengths_are_refused_and_the_connection_is_closed(api):
    async def receive():
        return {"type": "http.request", "body": b'{"stream_id": "a", "end": true}'}

    both = {"Content-Length": "31", "Transfer-Encoding": "chunked"}
    status, answered, document = served(api, api.headers() | both, receive)
    assert (status, answered[b"connection"]) == (400, b"close")
    assert document["type"] == "urn:tocsin:problem:bad-request"
    assert api.ingest.records == []
