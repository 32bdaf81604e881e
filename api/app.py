"""The application, made from its services."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from api import handlers
from api.envelope import Envelope
from api.metrics import RequestMetrics
from api.problems import Problem
from api.routes import (
    dead_letters,
    decisions,
    detectors,
    events,
    health,
    labels,
    operation,
    realised,
    streams,
)
from api.services import Services

API_VERSION = "1"
_KEYED: dict[int | str, dict[str, Any]] = {
    401: {"model": Problem, "description": "No valid key."},
    403: {"model": Problem, "description": "The key lacks the scope."},
    422: {"model": Problem, "description": "The request does not fit the schema."},
    503: {"model": Problem, "description": "The store or the event log does not answer."},
}


def create_app(services: Services) -> FastAPI:
    """Return the REST application; it holds nothing but what `services` gives it."""
    app = FastAPI(
        title="Tocsin",
        version=API_VERSION,
        description="Early decisions on streams, with a guarantee on what deciding early costs.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    metrics = RequestMetrics(services.metrics)
    app.state.services = services
    app.state.request_metrics = metrics
    handlers.install(app)
    app.include_router(health.router)
    # `realised` before `detectors`, which would take the word for a version
    for routes in (
        events, labels, decisions, streams, realised, detectors, dead_letters, operation,
    ):  # fmt: skip
        app.include_router(routes.router, responses=_KEYED)

    app.add_middleware(Envelope, metrics=metrics, production=services.profile == "production")
    return app
