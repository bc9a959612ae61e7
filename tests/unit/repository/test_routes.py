"""Every route of every service: protected or on a short public list, enforced, and reached through Traefik."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import WebSocketRoute

from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.viewers.tokens import ViewTokens
from fluxprint_common.database import Database
from fluxprint_common.ids import new_id, show
from fluxprint_common.jwks import JwksClient
from fluxprint_common.metrics import Metrics
from fluxprint_common.openapi import document
from fluxprint_common.permissions import ROLE_PERMISSIONS, Role
from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS, MAX_ACCESS_TOKEN_S
from fluxprint_common.ratelimit import RateLimiter
from fluxprint_common.revocations import Revocations
from fluxprint_common.tokens import TokenVerifier
from support.small_service import AUDIENCE, ISSUER, NOWHERE, Issuer, client_of
from tools.apps import create_apps

ROOT = Path(__file__).resolve().parents[3]

#: Who may call these without signing in; think twice before adding one.
PUBLIC = {
    "GET /api/v1/auth/csrf-token",  # asks for the cookie of a session
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/login",
    # One has no session yet, or none any more; each wants a token that was sent by mail, or only sends mail.
    "POST /api/v1/auth/verify-email",
    "POST /api/v1/auth/verify-email/resend",
    "POST /api/v1/auth/password-reset",
    "POST /api/v1/auth/password-reset/confirm",
    "POST /api/v1/auth/email/confirm",
    "POST /api/v1/auth/login/second-factor",  # the second step of signing in; the challenge is the first one's proof
    "GET /api/v1/auth/providers",  # where else one can sign in
    "GET /api/v1/auth/providers/{name}/start",  # leads a browser to a provider
    "POST /api/v1/auth/providers/token",  # takes a code that only who set out can redeem
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/bridge-token",
    "POST /api/v1/auth/bridge-pairings",  # a bridge that has no identity yet; a person confirms its code
    "POST /api/v1/auth/bridge-pairings/token",  # with the device code that only that bridge has
    "GET /api/v1/auth/jwks",
    # The link that was sent to the invited address proves who asks.
    "POST /api/v1/invitations/preview",
    "POST /api/v1/invitations/register",
    "POST /api/v1/invitations/join",
}
#: About the caller's own token only, so that it needs none that allows anything.
ANYBODY_SIGNED_IN = {"GET /api/v1/auth/token-info"}
#: Public too, and not in the document: for people and for machines that look after the services.
PUBLIC_UNDOCUMENTED = {
    "GET /api/v1/openapi.json",
    "GET /api/v1/docs",
    "GET /api/v1/docs/{asset}",
    "GET /api/v1/auth/providers/{name}/callback",  # a provider sends a browser back
    "POST /api/v1/auth/providers/{name}/callback",
    "GET /api/v1/auth/health",
    "GET /api/v1/queue/health",
    "GET /api/v1/camera/health",
    "GET /health",
    "GET /metrics",
    # for the other services: Traefik does not reach them
    "GET /internal/revocations",
    "POST /internal/exchange",
}
#: These read the token themselves before they accept; tests/integration tries each as a stranger.
WEBSOCKETS = {"/api/v1/bridge/link", "/api/v1/cameras/ingest"}

APPS = create_apps()


@dataclass(frozen=True)
class Operation:
    service: str
    method: str
    path: str
    security: list[dict[str, list[str]]]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def permissions(self) -> set[str]:
        return set(self.security[0].get("Bearer", []))

    @property
    def url(self) -> str:
        """The path with ids that are well formed and of nobody."""
        return re.sub(r"\{(\w+?)(_id)?\}", lambda found: show(found[1], new_id()) if found[2] else "1", self.path)


def documented() -> list[Operation]:
    return [
        Operation(service, method.upper(), path, operation["security"])
        for service, app in APPS.items()
        for path, item in document(app)["paths"].items()
        for method, operation in item.items()
    ]


def every_route(app: FastAPI) -> Iterator[tuple[str, set[str]]]:
    """Path and methods of each route; a WebSocket's method is `WS`."""
    for route in iter_route_contexts(app.routes):
        methods = {"WS"} if isinstance(route.original_route, WebSocketRoute) else set(route.methods or ()) - {"HEAD"}
        yield str(route.path), methods


OPERATIONS = documented()
PROTECTED = [operation for operation in OPERATIONS if str(operation) not in PUBLIC]


class TestLists:
    def test_what_is_public_is_on_the_list(self) -> None:
        assert {str(operation) for operation in OPERATIONS if not operation.security} == PUBLIC

    def test_every_other_route_names_its_permission(self) -> None:
        assert {str(operation) for operation in PROTECTED if not operation.permissions} == ANYBODY_SIGNED_IN

    def test_no_route_hides_from_the_document(self) -> None:
        known = (
            {str(operation) for operation in OPERATIONS} | PUBLIC_UNDOCUMENTED | {f"WS {path}" for path in WEBSOCKETS}
        )
        found = {
            f"{method} {path}" for app in APPS.values() for path, methods in every_route(app) for method in methods
        }
        assert found - known == set()
        assert known - found == set()

    def test_two_services_never_answer_one_path(self) -> None:
        shared = {"/health", "/metrics"}
        paths = [path for app in APPS.values() for path in {path for path, _ in every_route(app)} - shared]
        assert len(paths) == len(set(paths))


class House:
    """The applications with what a permission needs, and neither a database nor Redis."""

    def __init__(self, issuer: Issuer, clients: dict[str, httpx.AsyncClient]) -> None:
        self._issuer = issuer
        self._clients = clients

    async def status(self, operation: Operation, authorization: str | None) -> int:
        headers = {"Authorization": authorization} if authorization else {}
        body: dict[str, Any] = {} if operation.method in ("GET", "DELETE") else {"json": {}}
        answer = await self._clients[operation.service].request(
            operation.method, operation.url, headers=headers, timeout=10, **body
        )
        return answer.status_code

    def token(self, role: Role) -> str:
        subject = "bridge" if role is Role.BRIDGE else "user"
        return f"Bearer {self._issuer.token(role=role, sub=show(subject, new_id()))}"


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[House]:
    issuer = Issuer()
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(issuer.http())
        for app in APPS.values():
            app.state.database = Database(NOWHERE, application="test", pool_size=1)
            stack.push_async_callback(app.state.database.close)
            app.state.redis = None
            app.state.rate_limiter = RateLimiter(redis_url=None, metrics=Metrics(), enabled=False)
            app.state.revocations = Revocations(kept_s=1)
            app.state.access_tokens = TokenVerifier(
                JwksClient("http://issuer.test/jwks", http=http), issuer=ISSUER, audience=AUDIENCE,
                required=ACCESS_TOKEN_CLAIMS, max_lifetime_s=MAX_ACCESS_TOKEN_S,
            )  # fmt: skip
        APPS["camera"].state.hub = Hub(APPS["camera"].state.settings)
        APPS["camera"].state.view_tokens = ViewTokens("-" * 32, issuer=ISSUER, lifetime_s=60)
        yield House(issuer, {name: await stack.enter_async_context(client_of(app)) for name, app in APPS.items()})


class TestEnforcement:
    @pytest.mark.parametrize("operation", PROTECTED, ids=str)
    @pytest.mark.parametrize("authorization", [None, "Bearer a.b.c", "Basic dXNlcjpwdw=="])
    async def test_a_stranger_is_told_to_sign_in(
        self, house: House, operation: Operation, authorization: str | None
    ) -> None:
        assert await house.status(operation, authorization) == 401

    @pytest.mark.parametrize("operation", PROTECTED, ids=str)
    async def test_a_role_without_the_permission_is_refused(self, house: House, operation: Operation) -> None:
        refused = [role for role in Role if not operation.permissions <= ROLE_PERMISSIONS[role]]
        assert {role: await house.status(operation, house.token(role)) for role in refused} == dict.fromkeys(
            refused, 403
        )


class Rules:
    """The routers of the route file, which Traefik asks by falling priority."""

    def __init__(self, file: Path) -> None:
        text = file.read_text()
        text = text[text.index("\nhttp:") :]  # what is above only defines a template
        text = re.sub(r"^ *\{\{.*\}\} *\n", "", text, flags=re.MULTILINE)
        routers = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "x", text))["http"]["routers"]
        self._routers = sorted(routers.values(), key=lambda router: -int(router["priority"]))

    def service_of(self, path: str) -> str | None:
        for router in self._routers:
            if self._matches(router["rule"], path):
                return str(router["service"])
        return None

    @staticmethod
    def _matches(rule: str, path: str) -> bool:
        found = re.fullmatch(r"(PathRegexp|PathPrefix)\(`(.*)`\)", rule)
        assert found, f"a rule of a kind that this test does not know: {rule}"
        kind, value = found.groups()
        return re.search(value, path) is not None if kind == "PathRegexp" else path.startswith(value)


RULES = Rules(ROOT / "deploy/traefik/dynamic/routes.yml")


class TestTraefik:
    @pytest.mark.parametrize("service", APPS)
    def test_reaches_every_path_below_api_of_its_service(self, service: str) -> None:
        paths = {path for path, _ in every_route(APPS[service]) if path.startswith("/api/")}
        assert {path: RULES.service_of(path) for path in paths} == dict.fromkeys(paths, service)

    @pytest.mark.parametrize(
        "path",
        ["/health", "/metrics", "/internal/exchange", "/internal/revocations", "/", "/docs", "/openapi.json"],
    )
    def test_reaches_nothing_that_is_for_the_inside(self, path: str) -> None:
        assert RULES.service_of(path) is None
