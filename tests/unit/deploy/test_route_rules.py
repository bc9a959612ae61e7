"""The rules of the route file, read as Traefik reads them, for every operation that the API documents.

tests/integration asks the real Traefik the same for the prefixes.
"""

import json
import re
from dataclasses import dataclass

import pytest
import yaml

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.traefik import ROUTES

METHODS = {"get", "put", "post", "delete", "patch"}
DOCUMENT = json.loads((ROOT / "openapi/openapi.json").read_text())
OPERATIONS = [
    (method.upper(), path, operation["x-service"])
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
]
#: WebSockets, which OpenAPI does not describe, and what only the pages for people use.
BESIDE_THE_DOCUMENT = [
    ("/api/v1/bridge/link", "queue"),
    ("/api/v1/cameras/ingest", "camera"),
    ("/api/v1/openapi.json", "queue"),
    ("/api/v1/docs", "queue"),
    ("/api/v1/docs/swagger-ui.css", "queue"),
    *((f"/api/v1/{service}/health", service) for service in ("auth", "queue", "camera")),
]


@dataclass(frozen=True)
class Route:
    name: str
    priority: int
    service: str
    expression: str


def _routes() -> list[Route]:
    # Without the lines of the template: they choose addresses and entry points, not services.
    text = re.sub(r"^\s*\{\{.*\}\}\s*$|\{\{.*?\}\}", "", _without_definitions(ROUTES.read_text()), flags=re.MULTILINE)
    routes = []
    for name, router in yaml.safe_load(text)["http"]["routers"].items():
        found = re.fullmatch(r"(PathRegexp|PathPrefix)\(`([^`]+)`\)", router["rule"])
        assert found, f"teach this test the rule {router['rule']}"
        expression = found[2] if found[1] == "PathRegexp" else f"^{re.escape(found[2])}"
        routes.append(Route(name, router["priority"], router["service"], expression))
    return routes


def _without_definitions(text: str) -> str:
    return re.sub(r"\{\{- define .*?^\{\{- end \}\}$", "", text, flags=re.DOTALL | re.MULTILINE)


def route_of(path: str) -> Route | None:
    """The one matching rule of the highest priority; two of the same priority would be chance."""
    matching = [route for route in _routes() if re.search(route.expression, path)]
    highest = [route for route in matching if route.priority == max(each.priority for each in matching)]
    assert len(highest) <= 1, f"{path} is matched by several rules of one priority"
    return highest[0] if highest else None


def service_of(path: str) -> str | None:
    """Whose rule it is; the rule for unknown paths counts for nobody."""
    route = route_of(path)
    return route.service if route and route.name != "unknown" else None


class TestRules:
    def test_the_document_and_the_rules_were_found(self) -> None:
        assert len(OPERATIONS) >= 50
        assert {service for _, _, service in OPERATIONS} == {"auth", "queue", "camera"}
        assert len(_routes()) >= 5

    @pytest.mark.parametrize(("method", "path", "service"), OPERATIONS)
    def test_a_documented_operation_reaches_its_service(self, method: str, path: str, service: str) -> None:
        filled = re.sub(r"\{[^}]+\}", "some_0123", path)
        assert service_of(filled) == service
        assert service_of(f"{filled}/") == service

    @pytest.mark.parametrize(("path", "service"), BESIDE_THE_DOCUMENT)
    def test_so_does_what_stands_beside_the_document(self, path: str, service: str) -> None:
        assert service_of(path) == service

    @pytest.mark.parametrize(
        "path", ["/health", "/metrics", "/metrics/", "/", "/ping", "/api", "/docs", "/v1/api/v1/jobs"]
    )
    def test_what_is_not_for_clients_reaches_nothing(self, path: str) -> None:
        assert route_of(path) is None

    def test_an_unknown_path_of_the_api_gets_its_problem_from_a_service(self) -> None:
        route = route_of("/api/v1/nothing")
        assert route is not None
        assert (route.name, route.service) == ("unknown", "queue")

    def test_every_route_leads_to_a_service_that_answers_it(self) -> None:
        """A rule whose prefix no service has any more would hide behind the others."""
        known = {path.split("/")[3] for _, path, _ in OPERATIONS} | {
            path.split("/")[3] for path, _ in BESIDE_THE_DOCUMENT
        }
        named = set(re.findall(r"[a-z-]+", " ".join(re.findall(r"v1/\(([^)]*)\)", ROUTES.read_text()))))
        assert named - {"json", "openapi", "docs"} <= known
