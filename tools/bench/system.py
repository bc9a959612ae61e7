"""What is measured: a whole `up`, a bridge, a real OctoPrint, and a person who uses them through Traefik.

End-to-end tests use the same (`tests/support/system.py`).
"""

import asyncio
import json
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import psutil

from fluxprint_local import octoprint
from fluxprint_local.datafolder import DataFolder, Ports, Secrets
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, at_once, http_status
from fluxprint_local.supervisor import Supervisor

Json = dict[str, Any]

POLL_S = 0.02
SETTLE_S = 0.5
WAIT_TIMEOUT_S = 30
#: A run queues more jobs in a minute than the default allows in an hour.
_SETTINGS = {
    "QUEUE_LIMIT_JOBS": "100000/hour",
    "QUEUE_LIMIT_OPERATIONS": "100000/minute",
    "QUEUE_LIMIT_UPLOADS": "1000/minute",
    "QUEUE_LIMIT_PRINTERS": "100000/minute",
}


class System:
    """`up` in a folder of its own; `settings` go before those of a bench."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._data = DataFolder(folder)
        self._settings = {**_SETTINGS, **settings}
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def up(self) -> Process:
        return Process(
            name="up",
            command=[sys.executable, "-P", "-m", "fluxprint_local", "up"],
            environment={
                "FLUXPRINT_DATA_DIR": str(self._data.path),
                "FLUXPRINT_PORT": str(self.port),
                **self._settings,
            },
            is_ready=self._answers,
            stop_timeout_s=30,
            death_signal=signal.SIGTERM,
        )

    async def _answers(self) -> bool:
        paths = [f"/api/v1/{name}/health" for name in ("auth", "queue", "camera")]
        return all([await http_status("127.0.0.1", self.port, path) == 200 for path in paths])

    @property
    def ports(self) -> Ports:
        return self._data.ports()

    @property
    def secrets(self) -> Secrets:
        return self._data.secrets()

    @property
    def supervisor(self) -> psutil.Process:
        owner = self._data.owner()
        assert owner is not None
        return psutil.Process(owner[0])

    @property
    def fork_server(self) -> psutil.Process:
        return next(child for child in self.supervisor.children() if "fluxprint_local.forkserver" in child.cmdline())

    def process(self, name: str) -> psutil.Process:
        """One of its processes by its name: `queue`, `traefik`, `postgres`."""
        return psutil.Process(json.loads((self._data.path / "run" / f"{name}.json").read_text())["pid"])


class Workshop:
    """A person's organisation with a bridge and one printer."""

    def __init__(self, system: System, *, bed_is_clear: bool = True) -> None:
        self._bed_is_clear = bed_is_clear
        self.http = httpx.AsyncClient(base_url=f"{system.url}/api/v1", timeout=WAIT_TIMEOUT_S)
        self.email = f"{secrets.token_hex(6)}@example.org"
        self.password = secrets.token_urlsafe(16)
        self.access_token = ""
        self.organisation = ""
        self.bridge_token = ""
        self.printer = ""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.http.aclose()

    async def open(self) -> None:
        """Register, and add a bridge and a printer."""
        account = {
            "email": self.email,
            "password": self.password,
            "name": "Ada",
            "organisation_name": "Workshop",
        }
        registered = await self.send("POST", "/auth/register", json=account)
        self.organisation = registered["organisation"]["id"]
        self.access_token = registered["tokens"]["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.access_token}"
        created = await self.send("POST", "/bridges", json={"name": "bridge"})
        self.bridge_token = created["bridge_token"]
        printer = {"name": "Bench", "bridge_id": created["bridge"]["id"], "bed_is_clear": self._bed_is_clear}
        self.printer = (await self.send("POST", "/printers", json=printer))["id"]

    async def send(self, method: str, path: str, **more: Any) -> Json:
        """A request that must succeed; its body."""
        answer = await self.http.request(method, path, **more)
        if not answer.is_success:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text}")
        body: Json = answer.json()
        return body

    async def upload(self, gcode: bytes) -> str:
        return str((await self.send("POST", "/files", files={"file": ("bench.gcode", gcode)}))["id"])

    async def queue(self, file: str, **more: object) -> str:
        return str((await self.send("POST", "/jobs", json={"file_id": file, **more}))["id"])

    async def bed(self) -> Json:
        """What lies on the bed."""
        bed: Json = (await self.send("GET", f"/printers/{self.printer}"))["bed"]
        return bed

    async def confirm_clear(self, bed: Json) -> None:
        """Confirm that what was seen there is off."""
        seen = {"attempt_id": bed["attempt_id"], "changed_at": bed["changed_at"]}
        await self.send("POST", f"/printers/{self.printer}/bed-cleared", json=seen)

    async def is_online(self) -> None:
        """Wait for the bridge."""
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while (await self.send("GET", f"/printers/{self.printer}"))["connection"] != "online":
                await asyncio.sleep(POLL_S)

    async def cancel(self, job: str) -> None:
        """Cancel a job and wait until it is."""
        await self.send("POST", f"/jobs/{job}/cancel")
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while (await self.send("GET", f"/jobs/{job}"))["state"] != "cancelled":
                await asyncio.sleep(POLL_S)


def bridge(system: System, workshop: Workshop, printer: OctoPrint, folder: Path) -> Process:
    """A bridge with its defaults."""
    return bridge_process(
        system, workshop, folder, {"OCTOPRINT_URL": printer.url, "OCTOPRINT_API_KEY": printer.keys.bridge}
    )


def bridge_process(system: System, workshop: Workshop, folder: Path, environment: Mapping[str, str]) -> Process:
    """A bridge of the workshop, with what else its environment says."""
    return Process(
        name="bridge",
        command=[sys.executable, "-P", "-m", "fluxprint_bridge"],
        environment={
            "FLUXPRINT_ENVIRONMENT": "development",
            "FLUXPRINT_API_URL": system.url,
            "BRIDGE_AUTH_TOKEN": workshop.bridge_token,
            "BRIDGE_DATA_DIR": str(folder / "bridge"),
            **environment,
        },
        is_ready=at_once,
        stop_timeout_s=30,
    )


@asynccontextmanager
async def running_octoprint(supervisor: Supervisor, folder: Path) -> AsyncIterator[OctoPrint]:
    """A new OctoPrint whose virtual printer is connected."""
    python = await asyncio.to_thread(octoprint.environment)
    printer = OctoPrint(folder / "octoprint", free_port(), python=python)

    async def is_ready() -> bool:
        return await printer.state() == "Operational"

    await supervisor.start(
        Process(name="octoprint", command=printer.command, environment=printer.variables, is_ready=is_ready)
    )
    yield printer
