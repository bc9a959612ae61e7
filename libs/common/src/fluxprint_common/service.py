"""How a service is put together: one place for middleware, errors, state and shutdown, the same in all of them."""

import socket
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import version

import httpx
import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware
from starlette.routing import Route

from fluxprint_common import doorbell, logs, openapi, problems, revocations, sockets
from fluxprint_common.background import Supervisor
from fluxprint_common.database import Database
from fluxprint_common.exchange import Admit, AskOverHttp, Caller, Exchange
from fluxprint_common.health import HealthEndpoint
from fluxprint_common.jwks import JwksClient
from fluxprint_common.metrics import Metrics, metrics_endpoint
from fluxprint_common.middleware import BodyLimit, Cors, RequestContext, SecurityHeaders, UnhandledErrors
from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS, MAX_ACCESS_TOKEN_S
from fluxprint_common.ratelimit import RateLimiter, network
from fluxprint_common.revocations import Follower, Revocations
from fluxprint_common.settings import Environment, ServiceSettings
from fluxprint_common.tokens import LEEWAY_S, TokenVerifier

DEFAULT_BODY_LIMIT = 256 * 1024
GRACEFUL_SHUTDOWN_S = 3
LIMIT_EXCHANGES = "300/minute"
STARTUP_FAILED = 3  # exit status, as uvicorn's own

Start = Callable[[FastAPI], AbstractAsyncContextManager[None]]

_EXPOSED_HEADERS = (
    "ETag",
    "Location",
    "Link",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Content-Range",
    "X-Captured-At",
    "X-Request-ID",
)
_ALLOWED_HEADERS = (
    "Authorization", "Content-Type", "If-Match", "If-None-Match", "Idempotency-Key", "Last-Event-ID", "Range",
    "X-API-Key", "X-CSRF-Token", "X-Request-ID",
)  # fmt: skip


@asynccontextmanager
async def _nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


@dataclass(frozen=True)
class ServiceSpec:
    """What makes a service this service.

    Attributes:
        name: `auth`, `queue`, `camera`; also its health's place, `/api/v1/<name>/health`.
        tags: OpenAPI tags with their texts; every route has exactly one.
        constraint_errors: which error a violated database constraint means.
        internal_routers: what only other services call, at the paths that stand in them; neither in the document nor
            behind Traefik.
        has_cookies: whether pages of the allowed origins may send cookies along.
        body_limits: bytes, for exact paths that take more than the default.
        message_limits: bytes of a WebSocket's messages, for exact paths that take more or fewer than the default.
        start: what lives as long as the service: loops, clients, stores.
    """

    name: str
    description: str
    tags: Mapping[str, str]
    routers: Sequence[APIRouter]
    internal_routers: Sequence[APIRouter] = ()
    has_cookies: bool = False
    constraint_errors: problems.ConstraintErrors = field(default_factory=dict)
    body_limits: Mapping[str, int] = field(default_factory=dict)
    message_limits: Mapping[str, int] = field(default_factory=dict)
    start: Start = _nothing


def create_service(spec: ServiceSpec, settings: ServiceSettings) -> FastAPI:
    """The ASGI application of a service."""
    release = version(f"fluxprint-{spec.name}")
    metrics = Metrics()
    app = FastAPI(
        title="FluxPrint",
        version=release,
        description=spec.description,
        openapi_tags=[{"name": name, "description": text} for name, text in spec.tags.items()],
        generate_unique_id_function=_operation_id,
        separate_input_output_schemas=False,
        redirect_slashes=False,
        openapi_url=None,  # the merged document is a file, built at commit time
        docs_url=None,
        redoc_url=None,
        responses=openapi.problems(400, 422, 429, 503),
        lifespan=_lifespan(spec, settings),
        middleware=[
            Middleware(
                RequestContext,
                metrics=metrics,
                access_log=logs.access_log(service=spec.name, json=settings.log_format == "json"),
            ),
            Middleware(SecurityHeaders, https=settings.environment is Environment.PRODUCTION),
            Middleware(
                Cors,
                allow_origins=settings.cors_origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=_ALLOWED_HEADERS,
                allow_credentials=spec.has_cookies,
                expose_headers=_EXPOSED_HEADERS,
            ),
            Middleware(BodyLimit, limit=DEFAULT_BODY_LIMIT, by_path=spec.body_limits),
            Middleware(UnhandledErrors),
        ],
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.service_name = spec.name
    app.state.message_limits = spec.message_limits
    app.state.version = release
    app.state.health_parts = {}  # what else a service's health shows: functions that say `failing` or how it is
    app.state.outside_issuer = settings.outside_issuer
    app.state.before_stop = []  # quick functions that end what would never end by itself: streams
    problems.install(app, constraint_errors=spec.constraint_errors)
    for router in spec.routers:
        app.include_router(router, prefix="/api/v1")
    for router in spec.internal_routers:
        app.include_router(router, include_in_schema=False)
    health = HealthEndpoint()
    for path in ("/health", f"/api/v1/{spec.name}/health"):
        app.router.routes.append(Route(path, health.answer, methods=["GET"]))
    app.router.routes.append(Route("/metrics", metrics_endpoint, methods=["GET"]))
    return app


@cache
def _certificates() -> ssl.SSLContext:
    """The authorities that are believed. Reading them takes as long as the rest of a start."""
    return httpx.create_ssl_context()


def _operation_id(route: APIRoute) -> str:
    return route.name


def _lifespan(spec: ServiceSpec, settings: ServiceSettings) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            state = app.state
            state.database = Database(
                settings.database_url.get_secret_value(),
                application=f"fluxprint-{spec.name}",
                pool_size=settings.database_pool_size,
            )
            stack.push_async_callback(state.database.close)
            redis_url = settings.redis_url.get_secret_value() if settings.redis_url else None
            state.redis = doorbell.connect(redis_url) if redis_url else None
            if state.redis is not None:
                stack.push_async_callback(state.redis.aclose)
            state.http = await stack.enter_async_context(httpx.AsyncClient(timeout=5.0, verify=_certificates()))
            state.access_tokens = TokenVerifier(
                JwksClient(settings.jwks_url, http=state.http),
                issuer=settings.token_issuer,
                audience=settings.token_audience,
                required=ACCESS_TOKEN_CLAIMS,
                max_lifetime_s=MAX_ACCESS_TOKEN_S,
            )
            state.rate_limiter = RateLimiter(
                redis_url=redis_url, metrics=state.metrics, enabled=settings.rate_limits_enabled
            )
            state.exchange = Exchange(AskOverHttp(state.http, settings.jwks_url), admit=admission(state.rate_limiter))
            state.loops = Supervisor()
            stack.push_async_callback(state.loops.stop)
            state.publisher = doorbell.Publisher(state.redis)
            state.loops.start("doorbells", state.publisher.run)
            state.revocations = Revocations(kept_s=MAX_ACCESS_TOKEN_S + 2 * LEEWAY_S)
            state.revocation_source = revocations.over_http(state.http, settings.jwks_url)
            await stack.enter_async_context(spec.start(app))
            _follow_revocations(app, settings.revocation_poll_s)
            yield

    return lifespan


def _follow_revocations(app: FastAPI, poll_s: float) -> None:
    """Learn what is revoked: at once over Redis, and by asking, of which the service start may have chosen the way."""
    state = app.state
    follower = Follower(state.revocations, state.revocation_source)
    state.loops.start("revocations", partial(follower.run, poll_s), critical=False)
    if state.redis is None:
        return

    async def connected() -> None:
        await follower.ask()  # rings may have been missed

    async def hear() -> None:
        await doorbell.listen(state.redis, [revocations.CHANNEL], follower.hear, on_connect=connected)

    state.loops.start("redis-revocations", hear, critical=False)


def admission(limiter: RateLimiter) -> Admit:
    """What bounds how often one network may have auth asked about credentials that are not known yet."""

    async def admit(caller: Caller) -> None:
        await limiter.hit(LIMIT_EXCHANGES, "exchange", network(caller.address))

    return admit


def run(app: FastAPI, settings: ServiceSettings, *, service: str) -> None:
    """Serve until SIGTERM: stop taking requests, drain (bounded), close."""
    logs.configure(service=service, level=settings.log_level, json=settings.log_format == "json")
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="httptools",
        ws=sockets.bounded(app.state.message_limits),
        ws_per_message_deflate=False,  # pictures do not compress, and deflate costs a hundred times the sending
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    server = _Server(config, app)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise SystemExit(STARTUP_FAILED)


class _Server(uvicorn.Server):
    """Tells the application first that it ends: an endless answer that does not end by itself would be waited for,
    then cancelled, and logged as an error."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for end in self._app.state.before_stop:
            end()
        await super().shutdown(sockets)
