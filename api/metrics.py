"""Counts and durations of requests, by route template: never by path, which holds identifiers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import Scope as AsgiScope

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class RequestMetrics:
    """Request counters and histograms, and counts of events and labels by their fate."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "tocsin_http_requests", "Requests answered.", ["method", "route", "status"],
            registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "tocsin_http_request_seconds", "Time to answer a request.", ["method", "route"],
            buckets=_BUCKETS_S, registry=registry,
        )  # fmt: skip
        self._events = Counter(
            "tocsin_api_events", "Events received by REST, by what became of them.", ["status"],
            registry=registry,
        )  # fmt: skip
        self._labels = Counter(
            "tocsin_api_labels", "Labels received by REST, by what became of them.", ["status"],
            registry=registry,
        )  # fmt: skip
        self._unmatched = Counter(
            "tocsin_api_labels_unmatched",
            "Labels received by REST, first or again, about which there was no decision yet.",
            registry=registry,
        )

    def observe(self, scope: AsgiScope, status: int, duration_s: float) -> None:
        """Count one answered request; status 0 = the connection was lost before an answer."""
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = getattr(scope.get("route"), "path", "unmatched")
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(duration_s)

    def count_events(self, status: str, n: int) -> None:
        """Count `n` events that ended as `status`."""
        if n:
            self._events.labels(status).inc(n)

    def count_labels(self, status: str, n: int) -> None:
        """Count `n` labels that ended as `status`."""
        if n:
            self._labels.labels(status).inc(n)

    def count_unmatched(self, n: int) -> None:
        """Count `n` labels that were kept, and that no decision is there for."""
        self._unmatched.inc(n)


def _of_the_app(request: Request) -> RequestMetrics:
    metrics: RequestMetrics = request.app.state.request_metrics
    return metrics


MetricsDep = Annotated[RequestMetrics, Depends(_of_the_app)]
"""The running application's, for a route."""
