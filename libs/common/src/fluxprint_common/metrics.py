"""Prometheus metrics that every service has. Labels are bounded: routes are templates, never paths."""

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector
from starlette.requests import Request
from starlette.responses import Response

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """One service's registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "http_requests_total", "Answered requests", ["method", "route", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "http_request_duration_seconds", "Time to the end of the answer", ["route"],
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.websockets = Gauge("websocket_connections", "Open WebSockets", ["route"], registry=self.registry)
        self.csrf_refused = Counter(
            "csrf_refused_total", "Requests with a session's cookie that no page of ours sent", registry=self.registry
        )
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self.rate_limited = Counter(
            "rate_limit_hits_total", "Refused by a rate limit", ["scope"], registry=self.registry
        )
        self.rate_limit_failures = Counter(
            "rate_limit_storage_failures_total", "Checks that failed open", registry=self.registry
        )
        self.cors_refused = Counter(
            "cors_refused_total", "Requests from an origin not on the list", registry=self.registry
        )

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        series = self._answered.get((method, route, status))
        if series is None:  # looking a series up by its labels costs more than counting
            series = self.requests.labels(method, route, status), self.duration.labels(route)
            self._answered[method, route, status] = series
        requests, duration = series
        requests.inc()
        duration.observe(seconds)


async def metrics_endpoint(request: Request) -> Response:
    """The registry in Prometheus' text format; on the service's own port only, Traefik never routes it."""
    metrics: Metrics = request.app.state.metrics
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)
