"""The server on its socket: its limit, its address, and what a signal does."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, closing

import pytest

from api import server
from api.errors import CannotListenError


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def status(port):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as client:
        client.request("GET", "/")
        return client.getresponse().status


@pytest.fixture
def port():
    stop = server.Stop()
    with server.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.serve, args=[hello, listener, stop])
        thread.start()
        assert status(port) == 200
        yield port
        stop.on_signal(signal.SIGTERM, None)
        thread.join(20)
        assert not thread.is_alive()


def test_too_many_connections_are_answered_503_until_some_are_closed(port, monkeypatch):
    with ExitStack() as idle:
        for _ in range(server.MAX_CONNECTIONS):
            idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        assert status(port) == 503
    deadline = time.monotonic() + 10
    while status(port) != 200:
        assert time.monotonic() < deadline


def test_a_port_in_use_is_refused_with_advice():
    with server.listen("127.0.0.1", 0) as listener:
        taken = listener.getsockname()[1]
        with pytest.raises(CannotListenError, match=f"port {taken}: .*--port"):
            server.listen("127.0.0.1", taken)


def test_a_signal_before_serving_unwinds_once_and_then_nothing_is_interrupted():
    left = []
    before = signal.getsignal(signal.SIGTERM)

    def start():
        with server.orderly_stop(), ExitStack() as running:
            running.callback(left.append, "store")
            running.callback(os.kill, os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit) as ended:
        start()
    assert (ended.value.code, left) == (0, ["store"])
    assert signal.getsignal(signal.SIGTERM) is before
