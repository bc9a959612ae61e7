"""Every route of every service: protected or on a short public list, enforced, and reached through Traefik."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import WebSocketRoute

from fluxprint_common.ids import new_id, show
from tools.apps import create_apps, documents

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
    "POST /api/v1/cameras/view-tokens/renew",  # with a view token in the body, which is the right to it
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
    "POST /internal/observations",
    "POST /internal/prints",
    "POST /internal/standing",
}
#: These read the token themselves before they accept; tests/integration tries each as a stranger.
WEBSOCKETS = {"/api/v1/bridge/link", "/api/v1/cameras/ingest", "/api/v1/cameras/watch"}

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
        for service, document in documents().items()
        for path, item in document["paths"].items()
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
        [
            "/health",
            "/metrics",
            "/internal/exchange",
            "/internal/observations",
            "/internal/standing",
            "/internal/revocations",
            "/",
            "/docs",
            "/openapi.json",
        ],
    )
    def test_reaches_nothing_that_is_for_the_inside(self, path: str) -> None:
        assert RULES.service_of(path) is None

    def test_logs_no_query(self) -> None:
        """View tokens and shares stand in addresses. tests/integration/local shows that it works."""
        compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
        settings = compose["services"]["traefik"]["environment"]
        assert settings["TRAEFIK_ACCESSLOG_FIELDS_QUERYPARAMETERS_DEFAULTMODE"] == "drop"
        assert "ACCESSLOG" not in (ROOT / "docker-compose.prod.yml").read_text()  # which only adds to the first
