"""A bridge's token is good for that bridge's printers and for nothing else; a route that is added needs a row here."""

import re
from uuid import uuid4

import pytest
from fastapi.routing import iter_route_contexts

from fluxprint_common.permissions import ROLE_PERMISSIONS, Permission, Role
from fluxprint_queue.app import create_app
from fluxprint_queue.settings import QueueSettings
from support.queue import Json, QueueWorld

#: What a bridge calls, and the body that its own printer's bridge would send.
BODIES: dict[str, Json | None] = {
    "POST /printers/{printer}/claim": {"journal_id": str(uuid4())},
    "GET /printers/{printer}/next": None,
    "GET /printers/{printer}/files/{sha256}": None,
    "POST /printers/{printer}/foreign-print": {"file_name": "by-hand.gcode"},
    "GET /printers/{printer}/commands": None,
    "GET /attempts/{attempt}/file": None,
    "POST /attempts/{attempt}/lease": {"fence": 1},
    "POST /attempts/{attempt}/permit": {"fence": 1, "journal_id": str(uuid4())},
    "POST /attempts/{attempt}/reports": {"fence": 1, "report_id": str(uuid4()), "kind": "started"},
    "POST /commands/{command}/result": {"state": "succeeded"},
}
#: Shows a bridge its own printers, whoever asks.
OWN = {"GET /printers"}


def routes() -> set[str]:
    """The bridge's routes, with their ids' names shortened."""
    app = create_app(
        QueueSettings(
            environment="test", database_url="postgresql+asyncpg://x:x@127.0.0.1:1/x", jwks_url="http://127.0.0.1:1",
            auth_url="http://127.0.0.1:1", storage_dir="/nonexistent",
        )
    )  # fmt: skip
    return {
        f"{method} {re.sub('_id}', '}', path.removeprefix('/api/v1/bridge'))}"
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if (path := str(route.path)).startswith("/api/v1/bridge/")
    }


class TestAnotherBridge:
    def test_every_route_has_a_row(self) -> None:
        assert routes() == set(BODIES) | OWN

    @pytest.mark.parametrize("whose", ["another_bridge", "neighbour"])
    async def test_finds_nothing_there(self, world: QueueWorld, whose: str) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        [command] = (await world.send("POST", f"/jobs/{job}/pause", expect=202)).json()["items"]
        sha256 = (await world.send("GET", f"/files/{(await world.job_now(job))['file_id']}")).json()["sha256"]
        ids = {"printer": printer, "attempt": attempt["id"], "command": command["id"], "sha256": sha256}
        before = await world.printer_now(printer)
        other: QueueWorld = getattr(world, whose)()
        for row, body in BODIES.items():
            method, path = row.split()
            answer = await other.call(method, path.format(**ids), json=body)
            assert answer.status_code == 404, f"{row}: {answer.status_code} {answer.text}"
        assert (await other.call("GET", "/printers", expect=200)).json()["items"] == []
        assert await world.printer_now(printer) == before
        [waiting] = (await world.call("GET", f"/printers/{printer}/commands", expect=200)).json()["items"]
        assert waiting["id"] == command["id"]


class TestItsRole:
    def test_has_nothing_of_a_persons(self) -> None:
        assert ROLE_PERMISSIONS[Role.BRIDGE] == {Permission.BRIDGE_WORK}
        assert all(
            Permission.BRIDGE_WORK not in granted
            for role, granted in ROLE_PERMISSIONS.items()
            if role is not Role.BRIDGE
        )

    @pytest.mark.parametrize("path", ["/jobs", "/files", "/printers", "/events"])
    async def test_opens_no_list_of_a_person(self, world: QueueWorld, path: str) -> None:
        answer = await world.http.get(f"/api/v1{path}", headers=world.bridge_headers())
        assert answer.status_code == 403
