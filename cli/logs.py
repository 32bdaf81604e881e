"""Structured logs on stderr: one JSON object a line, never a payload or a secret."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any

from cli.errors import ROOMS, is_ours

SECRET_WORDS = ("password", "secret", "token", "authorization", "api_key", "pepper")
OURS = ("tocsin", *ROOMS)
"""Loggers that the level counts for, with those below them."""


def configure(level: str) -> None:
    """Send structlog and the standard library's logs through the same lines.

    `level` counts for our own loggers. Libraries write from WARNING on, whatever it is: below
    that they quote what they read and send (aiokafka: whole answers of the broker).
    """
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        structlog.processors.ExceptionRenderer(without_values),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(_may_be_shown)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper())


def _may_be_shown(record: logging.LogRecord) -> bool:
    """Hold back a library's remarks, even of a logger that has set a level for itself."""
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in OURS


def without_values(
    exc_info: tuple[type[BaseException], BaseException, TracebackType | None],
) -> str:
    """Return a traceback that cannot hold what people wrote.

    The frames, without local variables; the messages of our own errors, which never quote a
    payload; of any other error only its type, for a database's message may quote a whole row.
    """
    lines: list[str] = []
    error: BaseException | None = exc_info[1]
    while error is not None:
        message = f": {error}" if is_ours(type(error)) else ""
        frames = "".join(traceback.format_tb(error.__traceback__))
        lines.append(f"{type(error).__name__}{message}\n{frames}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "caused by ".join(lines)


def redact(_logger: object, _method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Replace values whose name says that they are secret.

    >>> redact(None, "info", {"event": "login", "api_key": "abc"})
    {'event': 'login', 'api_key': '***'}
    """
    for name in fields:
        if any(word in name.lower() for word in SECRET_WORDS):
            fields[name] = "***"
    return fields
