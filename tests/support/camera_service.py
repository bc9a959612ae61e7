"""A camera service as a process of its own, and an organisation that uses it."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx
import psutil
from fastapi import FastAPI, HTTPException, Request
from jose import jwt

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_common.prints import PrintsQuery
from fluxprint_local.ports import free_port
from fluxprint_local.postgres import Cluster
from fluxprint_local.process import Process, is_healthy
from support import databases, servers
from support.camera import VIEW_TOKEN_SECRET
from support.serving import serving
from support.tokens import Issuer, bearer
from support.uplink import Bridge, uplink


class PrintersOfBridges:
    """What the camera service asks of the queue service: the printers of the bridge whose token is sent."""

    def __init__(self) -> None:
        self.url = ""
        self._away = False
        self._printers: dict[str, set[str]] = {}
        self.app = FastAPI()
        self.app.get("/api/v1/bridge/printers")(self._answer)
        self.app.post("/internal/prints")(self._nothing_prints)

    def add(self, token: str, printer: str) -> None:
        self._printers.setdefault(_subject(token), set()).add(printer)

    def remove(self, token: str, printer: str) -> None:
        self._printers[_subject(token)].remove(printer)

    @contextmanager
    def away(self) -> Iterator[None]:
        """It answers as a service without its database does."""
        self._away = True
        try:
            yield
        finally:
            self._away = False

    async def _nothing_prints(self, query: PrintsQuery) -> dict[str, object]:
        asked = {show("printer", id_): id_ for id_ in query.printer_ids}
        bridges = {
            str(asked[printer]): bridge.removeprefix("bridge_")
            for bridge, printers in self._printers.items()
            for printer in printers & asked.keys()
        }
        return {"prints": [], "bridges": bridges}

    async def _answer(self, request: Request) -> dict[str, object]:
        if self._away:
            raise HTTPException(503)
        owned = self._printers.get(_subject(request.headers["Authorization"].removeprefix("Bearer ")), set())
        return {"items": [{"id": printer, "name": "Printer", "enabled": True} for printer in owned]}


def _subject(token: str) -> str:
    return str(jwt.get_unverified_claims(token)["sub"])


@dataclass(frozen=True)
class Service:
    """A running camera service, and the queue service that it asks."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]
    printers: PrintersOfBridges
    database: servers.Database
    again: Process  #: to start it once more, at the same address with the same database


#: Settings by which what is revoked is heard of, or not in the time of a test: nothing asks. But for shares, which are
#: asked about so often as the first of these says, with the most that it may be: of two that are taken back one after
#: the other, that finds one in time at best.
NOT_ASKED = {
    "FLUXPRINT_REVOCATION_POLL_S": "30",
    "CAMERA_GRANT_CHECK_S": "300",
    "CAMERA_PRINTS_POLL_S": "60",
}
#: "Within a second", on a machine with much else to do. Only what is told comes in that time: nothing asks sooner.
AT_ONCE_S = 10.0

TROUBLE = (
    "Exception in ASGI application",
    "unhandled_error",
    "loop_failed",
    "never awaited",
    "without completing response",
)


@asynccontextmanager
async def running(
    cluster: Cluster, folder: Path, issuer: Issuer, redis_url: str, settings: Mapping[str, str]
) -> AsyncIterator[Service]:
    async with replicas(cluster, folder, issuer, redis_url, settings, count=1) as (service,):
        yield service


@asynccontextmanager
async def replicas(
    cluster: Cluster,
    folder: Path,
    issuer: Issuer,
    redis_url: str,
    settings: Mapping[str, str],
    *,
    count: int,
    trouble: Sequence[str] = TROUBLE,
) -> AsyncIterator[list[Service]]:
    """Several processes of the service, on one database.

    Args:
        trouble: what must not stand in their logs.
    """
    printers = PrintersOfBridges()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(databases.new_database(cluster))
        printers.url = await stack.enter_async_context(serving(printers.app))
        services = []
        for number in range(count):
            port = free_port()
            process = process_of(port, issuer, redis_url, printers.url, database.url_for("camera"), settings)
            log = folder / f"camera-{number}.log"
            started = await stack.enter_async_context(servers.started(process, log))
            services.append(Service(f"http://127.0.0.1:{port}", log, started, printers, database, process))
        yield services
    for service in services:
        for word in trouble:
            assert word not in service.log.read_text()


def process_of(
    port: int, issuer: Issuer, redis_url: str, queue_url: str, database_url: str, settings: Mapping[str, str]
) -> Process:
    """One process of the service; not started yet."""
    return Process(
        name="camera",
        command=[sys.executable, "-m", "fluxprint_camera"],
        environment={
            **os.environ,
            "FLUXPRINT_ENVIRONMENT": "test",
            "FLUXPRINT_JWKS_URL": issuer.jwks_url,
            "FLUXPRINT_REDIS_URL": redis_url,
            "CAMERA_PORT": str(port),
            "CAMERA_QUEUE_URL": queue_url,
            "CAMERA_DATABASE_URL": database_url,
            "CAMERA_DATABASE_POOL_SIZE": "1",  # who holds a connection longer than a query stops everybody
            "CAMERA_VIEW_TOKEN_SECRET": VIEW_TOKEN_SECRET,
            "CAMERA_SWEEP_S": "0.05",
            **settings,
        },
        is_ready=lambda: is_healthy(port),
    )


def ports_of(pid: int) -> set[int]:
    """Those of the clients that a process still has connections to."""
    connections = psutil.Process(pid).net_connections("tcp")
    return {connection.raddr.port for connection in connections if connection.raddr}


class Organisation:
    """An organisation with its bridge and its people, at one service."""

    def __init__(self, service: Service, issuer: Issuer) -> None:
        self.id = new_id()
        self.bridge_id = new_id()
        self.service = service
        self.issuer = issuer

    @property
    def bridge_token(self) -> str:
        return self.issuer.bridge_token(organisation=self.id, bridge=self.bridge_id)

    def user_token(self, role: Role = Role.VIEWER, *, lifetime_s: int = 900) -> str:
        return self.issuer.user_token(organisation=self.id, role=role, lifetime_s=lifetime_s)

    def client(self, role: Role = Role.VIEWER) -> httpx.AsyncClient:
        """A client of somebody with that role."""
        return httpx.AsyncClient(base_url=self.service.url, headers=bearer(self.user_token(role)), timeout=10)

    @asynccontextmanager
    async def camera(self, printer: UUID | None = None, *, token: str | None = None) -> AsyncIterator[Bridge]:
        """A camera with an uplink, of a printer that is the bridge's."""
        name, token = show("printer", printer or new_id()), token or self.bridge_token
        self.service.printers.add(token, name)
        async with uplink(self.service.url, token, name) as bridge:
            yield bridge
