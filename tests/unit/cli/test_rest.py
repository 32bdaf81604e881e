"""Whatever answers at the URL, `RestPages` ends, and says plainly what was wrong."""

from __future__ import annotations

import json
import socketserver
import threading
from datetime import UTC, datetime

import pytest

from cli.decision_pages import RestPages
from cli.errors import CommandError, WrongUseError
from cli.replay import _post
from cli.rest import Rest
from streams.records import Event

ROW = {
    "id": "5b1f7c0e-6f1d-5d0a-9d0f-0d5f4b7f2a11", "decided_at": "2026-11-22T09:30:00Z",
    "stream_id": "s", "detector": "d", "label": "5", "probability": 1, "halt_step": 4,
    "reason": "end", "top_reasons": [{"step": 1, "weight": 0.5, "evidence": {"x": 1}}],
    "of a later version": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _key(monkeypatch, tmp_path):
    (tmp_path / "key").write_text("tocsin_a_b")
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "key"))


@pytest.fixture
def answering():
    """Serve bytes as they are, the last of them again and again; gives the URL."""
    servers = []

    def start(*answers):
        left = list(answers)

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                length = 0
                while (line := self.rfile.readline()) not in (b"\r\n", b""):
                    name, _, value = line.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                self.rfile.read(length)
                self.wfile.write(left.pop(0) if len(left) > 1 else left[0])

        server = socketserver.TCPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def http(document, status="200 OK"):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return b"HTTP/1.0 %s\r\nContent-Type: application/json\r\n\r\n%s" % (status.encode(), body)


def page(*rows, cursor=None):
    return http({"decisions": list(rows), "next_cursor": cursor})


def test_pages_are_read_to_the_end_and_no_further_than_the_limit(answering):
    pages = [page(ROW, ROW, cursor="a"), page(ROW)]
    assert list(RestPages(answering(*pages)).read({}, None)) == [ROW] * 3
    assert len(list(RestPages(answering(*pages)).read({}, 2))) == 2


@pytest.mark.parametrize(
    "answer",
    [
        http([]),
        http({}),
        http({"decisions": []}),
        http({"decisions": {}, "next_cursor": None}),
        http({"decisions": [], "next_cursor": 7}),
        page(7),
        page({}),
        page({**ROW, "probability": "high"}),
        page({**ROW, "decided_at": "yesterday"}),
        page({**ROW, "top_reasons": [7]}),
        page({**ROW, "top_reasons": [{"step": 1, "weight": 1, "evidence": []}]}),
    ],
)
def test_something_else_than_tocsin_is_told_as_that(answering, answer):
    with pytest.raises(CommandError, match="does not answer as a Tocsin API does"):
        list(RestPages(answering(answer)).read({}, None))


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", http(b"<html>"), http(b"[" * 100_000)]
)
def test_something_that_does_not_speak_the_language_is_one_message(answering, answer):
    with pytest.raises(CommandError, match="gave no answer that can be read"):
        list(RestPages(answering(answer)).read({}, None))


@pytest.mark.parametrize(
    "answers", [[page(cursor="a")], [page(ROW, cursor="a")]], ids=["empty", "same cursor"]
)
def test_pages_that_never_end_are_not_read_for_ever(answering, answers):
    with pytest.raises(CommandError, match="says that there is more, and gives nothing"):
        list(RestPages(answering(*answers)).read({}, None))


def test_what_a_server_says_of_its_refusal_is_plain_and_short(answering):
    detail = "no\x1b[2J \u202e" + "x" * 10_000
    url = answering(http({"detail": detail}, "403 Forbidden"))
    with pytest.raises(CommandError) as caught:
        Rest(url).get("/v1/decisions", {})
    assert "answered 403: no\\x1b[2J \\u202exxx" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_events_answered_by_something_else_are_one_message(answering):
    event = Event(detector="d", stream_id="s", event_id="e", frames=None, end=True)
    with pytest.raises(CommandError, match="does not answer as a Tocsin API does"):
        _post(Rest(answering(http({}))), iter([event]), 1, None, lambda n: None)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://x", "http://", "127.0.0.1:8600", "http://[", "http://x:port",
        "http://x:0", "http://x y/", "http://x/\x1b", "http://user:hunter2@x", "http://x?a=b",
    ],
)  # fmt: skip
def test_a_url_that_cannot_be_an_api_is_wrong_use_of_its_option(url):
    with pytest.raises(WrongUseError, match="--to") as caught:
        Rest(url, "--to")
    assert "hunter2" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("url", ["http://example.org", "http://10.0.0.1:8600", "http://[fe80::1]"])
def test_a_key_that_would_travel_in_clear_is_warned_of(url, capsys):
    Rest(url)
    assert "in clear" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    ["https://example.org", "http://localhost:1", "http://127.8.9.1", "http://[::1]:8600"],
)
def test_a_key_that_stays_here_or_is_hidden_is_not(url, capsys):
    Rest(url)
    assert capsys.readouterr().err == ""


def test_a_key_file_that_is_no_text_is_not_quoted(monkeypatch, tmp_path):
    (tmp_path / "bytes").write_bytes(b"secret\xff")
    monkeypatch.setenv("TOCSIN_API_KEY_FILE", str(tmp_path / "bytes"))
    with pytest.raises(CommandError, match="no key in one line") as caught:
        Rest("http://127.0.0.1:1")
    assert "secret" not in str(caught.value)


def test_times_are_asked_for_as_the_api_takes_them(answering):
    since = datetime(2026, 11, 22, tzinfo=UTC)
    assert list(RestPages(answering(page(ROW))).read({"since": since}, 1)) == [ROW]
