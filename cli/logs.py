"""Structured logs on stderr: one JSON object a line, never a payload or a secret."""

from __future__ import annotations

import logging
import sys
from typing import Any

SECRET_WORDS = ("password", "secret", "token", "authorization", "api_key", "pepper")


def configure(level: str) -> None:
    """Send structlog and the standard library's logs through the same lines."""
    import structlog

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
        structlog.processors.StackInfoRenderer(),
        # Tracebacks without local variables: those could hold what people wrote.
        structlog.processors.format_exc_info,
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
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def redact(_logger: object, _method: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Replace values whose name says that they are secret.

    >>> redact(None, "info", {"event": "login", "api_key": "abc"})
    {'event': 'login', 'api_key': '***'}
    """
    for name in fields:
        if any(word in name.lower() for word in SECRET_WORDS):
            fields[name] = "***"
    return fields
