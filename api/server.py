"""The HTTP server: its socket, its limits, and how a signal ends it in order."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from api.errors import CannotListenError

GRACE_S = 10
"""Time that running requests get when the service is told to stop."""
MAX_CONNECTIONS = 512
"""With this many open, idle ones too, requests are answered 503: file handles are finite."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """What SIGTERM and SIGINT do: everything is left in order, and the exit code is 0.

    Before anything is served they raise SystemExit in the main thread; then they tell the server.
    """

    def __init__(self) -> None:
        self.server: uvicorn.Server | None = None
        self._told = False

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal; one that comes while things are being left changes nothing."""
        if self.server is not None:
            self.server.handle_exit(number, frame)
        elif not self._told:
            self._told = True
            raise SystemExit(0)


@contextmanager
def orderly_stop() -> Iterator[Stop]:
    """Take over SIGTERM and SIGINT for the block; main thread only."""
    stop = Stop()
    before = {number: signal.signal(number, stop.on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections, which wait until `serve`; CannotListenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        raise CannotListenError(host, port, error.strerror or str(error)) from error


def address(host: str, listener: socket.socket) -> str:
    """Return the URL that `listener` answers at."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def serve(app: ASGIApp, listener: socket.socket, stop: Stop) -> None:
    """Serve until `stop` is told by a signal; requests under way get `GRACE_S`."""
    config = uvicorn.Config(
        app,
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        ws="none",
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )
    stop.server = _Server(config)
    stop.server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """Uvicorn raises a signal again once it has ended, which skips whatever comes after it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `Stop`."""
        yield
