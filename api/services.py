"""What the application is given: every dependency, by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import Engine

from store.session import Transact
from streams.ports import Ingest


def utc_clock() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(tz=UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything outside that the routes use; there is no global state."""

    engine: Engine
    """For reading."""
    transact: Transact
    """For writing: in the embedded service one thread owns all writes."""
    pepper: bytes = field(repr=False)
    """Key under which API keys are hashed and cursors are signed."""
    ingest: Ingest | None = None
    """Where events go; None = events are refused with advice."""
    detectors: Callable[[], Collection[str]] | None = None
    """Names an event may give as its detector; None = any."""
    checks: Sequence[Callable[[], str | None]] = ()
    """Each returns None, or what keeps the service from being ready, for an operator."""
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    """What `/metrics` shows; the application adds its request counts."""
    profile: Literal["development", "production"] = "development"
    clock: Callable[[], datetime] = utc_clock


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
