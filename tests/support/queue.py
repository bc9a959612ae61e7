"""The queue service under test, and the steps that people and bridges take in it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_queue.app import create_app
from fluxprint_queue.settings import QueueSettings
from support.servers import Database
from support.serving import serving
from support.tokens import Issuer, bearer

GCODE = b"; a small print\nG21\nG28\nG1 X10 Y10 F3000\nG1 X20 E1\nM104 S0\n"

Json = dict[str, Any]
T = TypeVar("T")


def queue_app(
    database: Database, issuer: Issuer, auth_url: str, folder: Path, *, redis_url: str | None = None, **changes: object
) -> FastAPI:
    """The service as it is built in production, with settings for a test."""
    return create_app(
        QueueSettings(
            **{
                "environment": "test",
                "database_url": database.url_for("queue"),
                "redis_url": redis_url,
                "jwks_url": issuer.jwks_url,
                "auth_url": auth_url,
                "storage_dir": folder / "storage",
                "rate_limits_enabled": False,
                **changes,
            }  # type: ignore[arg-type]
        )
    )


@pytest.fixture(scope="session")
async def auth_url() -> AsyncIterator[str]:
    """What the queue asks auth: a bridge whose id the caller's organisation knows. Here: all but the id of zeros."""
    app = FastAPI()

    @app.get("/api/v1/bridges/{bridge_id}")
    async def get_bridge(bridge_id: str, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Bearer ")
        return Response(status_code=404 if bridge_id == "bridge_" + "0" * 32 else 200)

    async with serving(app) as url:
        yield url


@asynccontextmanager
async def start_queue(
    database: Database, issuer: Issuer, auth_url: str, folder: Path, *, redis_url: str | None = None, **changes: object
) -> AsyncIterator[str]:
    """A queue service behind a real socket; gives its URL."""
    async with serving(queue_app(database, issuer, auth_url, folder, redis_url=redis_url, **changes)) as url:
        yield url


async def eventually(look: Callable[[], Awaitable[T | None]], *, within_s: float = 10.0, every_s: float = 0.02) -> T:
    """What `look` finds, as soon as it finds something."""
    async with asyncio.timeout(within_s):
        while True:
            found = await look()
            if found:
                return found
            await asyncio.sleep(every_s)


class QueueWorld:
    """One organisation's people and bridge, at one queue service."""

    def __init__(self, http: httpx.AsyncClient, issuer: Issuer, folder: Path) -> None:
        self.http = http
        self.issuer = issuer
        self.folder = folder
        self.organisation = new_id()
        self.user = new_id()
        self.bridge = new_id()
        self.journal = uuid4()

    def neighbour(self) -> "QueueWorld":
        """Another organisation at the same service."""
        return QueueWorld(self.http, self.issuer, self.folder)

    def another_bridge(self) -> "QueueWorld":
        """The same organisation, with another bridge."""
        other = QueueWorld(self.http, self.issuer, self.folder)
        other.organisation, other.user = self.organisation, self.user
        return other

    def headers(self, role: Role = Role.OWNER, user: UUID | None = None) -> dict[str, str]:
        return bearer(self.issuer.user_token(organisation=self.organisation, role=role, user=user or self.user))

    def bridge_headers(self) -> dict[str, str]:
        return bearer(self.issuer.bridge_token(organisation=self.organisation, bridge=self.bridge))

    async def send(
        self, method: str, path: str, *, role: Role = Role.OWNER, expect: int | None = None, **more: Any
    ) -> httpx.Response:
        """A person's request."""
        headers = {**self.headers(role), **more.pop("headers", {})}
        answer = await self.http.request(method, f"/api/v1{path}", headers=headers, **more)
        assert expect in (None, answer.status_code), answer.text
        return answer

    async def call(self, method: str, path: str, *, expect: int | None = None, **more: Any) -> httpx.Response:
        """A bridge's request."""
        answer = await self.http.request(method, f"/api/v1/bridge{path}", headers=self.bridge_headers(), **more)
        assert expect in (None, answer.status_code), answer.text
        return answer

    async def upload(self, content: bytes = GCODE, name: str = "part.gcode", **fields: str) -> httpx.Response:
        return await self.send("POST", "/files", files={"file": (name, content)}, data=fields)

    async def file(self) -> str:
        answer = await self.upload()
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def printer(self, name: str = "Bench", *, clear: bool = True) -> str:
        body = {"name": name, "bridge_id": show("bridge", self.bridge), "bed_is_clear": clear}
        return str((await self.send("POST", "/printers", json=body, expect=201)).json()["id"])

    async def job(self, **more: object) -> str:
        body = {"file_id": await self.file(), **more}
        return str((await self.send("POST", "/jobs", json=body, expect=201)).json()["id"])

    async def job_now(self, job: str) -> Json:
        answer: Json = (await self.send("GET", f"/jobs/{job}", expect=200)).json()
        return answer

    async def printer_now(self, printer: str) -> Json:
        answer: Json = (await self.send("GET", f"/printers/{printer}", expect=200)).json()
        return answer

    async def claim(self, printer: str, *, journal: UUID | None = None) -> Json | None:
        """The assignment, or None where there is nothing to do."""
        answer = await self.call(
            "POST", f"/printers/{printer}/claim", json={"journal_id": str(journal or self.journal)}
        )
        assert answer.status_code in (200, 204), answer.text
        found: Json | None = answer.json() if answer.status_code == 200 else None
        return found

    async def claimed(self, printer: str) -> Json:
        """The attempt of a claim that must find work."""
        assignment = await self.claim(printer)
        assert assignment is not None
        attempt: Json = assignment["attempt"]
        return attempt

    async def permit(self, attempt: Json, *, journal: UUID | None = None) -> httpx.Response:
        body = {"fence": attempt["fence"], "journal_id": str(journal or self.journal)}
        return await self.call("POST", f"/attempts/{attempt['id']}/permit", json=body)

    async def report(
        self, attempt: Json, kind: str, *, report_id: UUID | None = None, **more: object
    ) -> httpx.Response:
        body = {"fence": attempt["fence"], "report_id": str(report_id or uuid4()), "kind": kind, **more}
        return await self.call("POST", f"/attempts/{attempt['id']}/reports", json=body)

    async def printing(self, printer: str) -> Json:
        """An attempt that prints on this printer."""
        attempt = await self.claimed(printer)
        assert (await self.permit(attempt)).status_code == 200
        assert (await self.report(attempt, "started")).status_code == 200
        return attempt

    async def bed_cleared(self, printer: str, attempt: Json | None) -> httpx.Response:
        shown = (await self.printer_now(printer))["bed"]["changed_at"] if attempt is None else None
        body = {"attempt_id": attempt["id"]} if attempt else {"changed_at": shown}
        return await self.send("POST", f"/printers/{printer}/bed-cleared", json=body)


def code(answer: httpx.Response) -> str:
    """The stable code of a problem."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return str(answer.json()["code"])
