"""Pure ASGI middleware, in the order in which a request meets it: context, security headers, body limit, errors."""

import asyncio
import re
import secrets
import time
from collections.abc import Mapping

import structlog
from prometheus_client import Gauge
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxprint_common.logs import AccessLog, get_logger
from fluxprint_common.metrics import Metrics
from fluxprint_common.problems import PayloadTooLarge, ServiceError, render

log = get_logger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
LINGER_S = 30.0
LINGER_BYTES = 64 * 1024 * 1024
_QUIET_PATHS = frozenset({"/health", "/metrics"})


def _header(scope: Scope, name: bytes) -> str | None:
    """A request's header; `name` in lower case, as ASGI gives them."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return None


class RequestContext:
    """Gives a request its id, counts and logs it.

    A caller's own `X-Request-ID` is kept where it is harmless, so that one id follows a request through all services.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, access_log: AccessLog) -> None:
        self.app = app
        self.metrics = metrics
        self.access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        given = _header(scope, b"x-request-id") or ""
        request_id = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send, request_id)

    async def _http(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        started = time.perf_counter()
        status = 0
        origin = _header(scope, b"origin")

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                if origin and "access-control-allow-origin" not in MutableHeaders(scope=message):
                    self.metrics.cors_refused.inc()
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except Exception:
            status = 500  # half an answer is out
            raise
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        gauge: Gauge | None = None

        async def send_counted(message: Message) -> None:
            nonlocal gauge
            if message["type"] == "websocket.accept":  # only now is the route known
                gauge = self.metrics.websockets.labels(route=route_template(scope))
                gauge.inc()
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        finally:
            if gauge is not None:
                gauge.dec()

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        route = route_template(scope)
        self.metrics.answered(method=_method(scope), route=route, status=status, seconds=seconds)
        if scope["path"] in _QUIET_PATHS:
            return
        client = scope.get("client")
        self.access_log(
            {
                "request_id": request_id,
                "method": scope["method"],
                "path": scope["path"],
                "route": route,
                "status": status,
                "ms": round(seconds * 1000, 1),
                "client": client[0] if client else None,
            }
        )


def route_template(scope: Scope) -> str:
    """The matched route's path with its placeholders, or `-`: a label must not grow with what clients send."""
    return str(getattr(scope.get("route"), "path", None) or "-")


def _method(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"


class SecurityHeaders:
    """Headers that an API sends with every answer; a route may set its own policy."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self.app = app
        self.headers = [
            (b"x-content-type-options", b"nosniff"),
            (b"x-frame-options", b"DENY"),
            (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
        ]
        if https:
            self.headers.append((b"strict-transport-security", b"max-age=31536000; includeSubDomains; preload"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _value in message["headers"]}
                ours = [header for header in self.headers if header[0] not in given]
                message["headers"] = [*message["headers"], *ours]
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Cors(CORSMiddleware):
    """CORS for requests that come from a page, which name its origin. Others need nothing of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _header(scope, b"origin") is None:
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class BodyLimit:
    """Refuses bodies over the limit before, or while, they are read.

    A client that is still sending when the refusal comes would see its connection reset instead of the answer, and
    so would one behind a proxy: the rest of a refused body is read and thrown away first, within bounds. One that
    asks before it sends (`Expect: 100-continue`) is answered at once.

    Args:
        limit: bytes, for every path that has no limit of its own.
        by_path: bytes for exact paths (uploads).
    """

    def __init__(self, app: ASGIApp, *, limit: int, by_path: Mapping[str, int]) -> None:
        self.app = app
        self.limit = limit
        self.by_path = dict(by_path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = _header(scope, b"content-length")
        if declared is None and _header(scope, b"transfer-encoding") is None:  # no body: RFC 9112, 6.3
            await self.app(scope, receive, send)
            return
        limit = self.by_path.get(scope["path"], self.limit)
        error = PayloadTooLarge(f"The body may have at most {limit} bytes.", headers={"Connection": "close"})
        asks_first = (_header(scope, b"expect") or "").lower() == "100-continue"
        body = _Body(receive, send, limit=limit, error=error, asks_first=asks_first)
        if declared is not None and (not declared.isdecimal() or int(declared) > limit):
            await render(error)(scope, body.receive, body.send)
        else:
            await self.app(scope, body.receive, body.send)


class _Body:
    """One request's body while it is counted, and the answer that may come before its end."""

    def __init__(self, receive: Receive, send: Send, *, limit: int, error: ServiceError, asks_first: bool) -> None:
        self._receive = receive
        self._send = send
        self._limit = limit
        self._error = error
        self._asks_first = asks_first
        self._received = 0
        self._ended = False

    async def receive(self) -> Message:
        message = await self._next()
        if self._received > self._limit:
            raise self._error
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            await self._throw_away()
        await self._send(message)

    async def _next(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self._ended = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def _throw_away(self) -> None:
        if self._asks_first and not self._received:
            return
        try:
            async with asyncio.timeout(LINGER_S):
                while not self._ended and self._received < self._limit + LINGER_BYTES:
                    await self._next()
        except TimeoutError:
            pass  # it had its time to send


class UnhandledErrors:
    """Answers what nobody caught. The innermost, so that its answers get the headers that every answer gets."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            answered = True
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception:
            log.exception("unhandled_error")
            if answered or scope["type"] != "http":
                raise  # half an answer is out: only cutting the connection is honest
            await render(ServiceError("An unexpected error; it is logged under this request id."))(scope, receive, send)
