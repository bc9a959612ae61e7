"""The whole system as `up` starts it, and a workshop in it: people, a bridge, a real OctoPrint."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port
from fluxprint_local.process import SETTING_PREFIXES
from support.bridge import BridgeProcess
from support.queue import eventually

Json = dict[str, Any]

_SETTINGS = {
    "QUEUE_LIMIT_JOBS": "1000/hour",
    "QUEUE_LIMIT_OPERATIONS": "1000/minute",
    "QUEUE_LIMIT_UPLOADS": "1000/minute",
    "AUTH_LIMIT_REGISTER": "1000/hour",
    "QUEUE_OFFLINE_AFTER_S": "5",
}


class System:
    """A running `up`."""

    def __init__(self, folder: Path, port: int, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        self.supervisor = process

    def process(self, name: str) -> psutil.Process:
        """One of its processes: `queue`, `redis`, ... by what it runs."""
        sign = {"redis": "valkey-server", "postgres": "postgres", "traefik": "traefik"}.get(name, f"fluxprint_{name}")
        found = [child for child in psutil.Process(self.supervisor.pid).children() if _runs(child, sign)]
        assert len(found) == 1, f"{name}: {found}"
        return found[0]

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")


def _runs(process: psutil.Process, sign: str) -> bool:
    """By program, or by Python module."""
    command = process.cmdline()
    return bool(command) and (sign in Path(command[0]).name or ("-m" in command and sign in command))


@asynccontextmanager
async def running_system(folder: Path) -> AsyncIterator[System]:
    """`up` on a free port, from when every service answers through Traefik."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(SETTING_PREFIXES)},
        **_SETTINGS,
        "FLUXPRINT_DATA_DIR": str(folder),
        "FLUXPRINT_PORT": str(port),
    }
    folder.mkdir(parents=True)
    with (folder / "up.log").open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "fluxprint_local", "up", env=environment, stdout=output, stderr=output
        )
    system = System(folder, port, process)
    try:
        async with httpx.AsyncClient(base_url=system.url, timeout=5) as http:

            async def up() -> bool:
                assert process.returncode is None, (folder / "up.log").read_text()
                try:
                    answers = [await http.get(f"/api/v1/{name}/health") for name in ("auth", "queue", "camera")]
                except httpx.TransportError:
                    return False
                return all(answer.status_code == 200 for answer in answers)

            await eventually(up, within_s=90)
        yield system
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            await process.wait()


class Workshop:
    """An organisation with a bridge and one printer, on a real OctoPrint; everything goes through Traefik."""

    def __init__(self, system: System, octoprint: OctoPrint, folder: Path) -> None:
        self.system = system
        self.octoprint = octoprint
        self.folder = folder
        self.http = httpx.AsyncClient(base_url=f"{system.url}/api/v1", timeout=30)
        self.printer = ""
        self._bridge_token = ""

    async def open(self) -> None:
        """Register, add a bridge and a printer with a clear bed."""
        account = {
            "email": f"{secrets.token_hex(6)}@example.org",
            "password": secrets.token_urlsafe(16),
            "name": "Ada",
            "organisation_name": "Workshop",
        }
        registered = await self.send("POST", "/auth/register", json=account)
        self.http.headers["Authorization"] = f"Bearer {registered['tokens']['access_token']}"
        created = await self.send("POST", "/bridges", json={"name": "bridge"})
        self._bridge_token = created["bridge_token"]
        printer = {"name": "Bench", "bridge_id": created["bridge"]["id"], "bed_is_clear": True}
        self.printer = (await self.send("POST", "/printers", json=printer))["id"]

    def bridge(self, **settings: str) -> BridgeProcess:
        """A bridge for the printer; not started yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return BridgeProcess(
            self.folder,
            cloud_url=self.system.url,
            settings={
                "BRIDGE_AUTH_TOKEN": self._bridge_token,
                "OCTOPRINT_URL": self.octoprint.url,
                "OCTOPRINT_API_KEY": self.octoprint.keys.bridge,
                **settings,
            },
        )

    async def send(self, method: str, path: str, **more: Any) -> Json:
        """A request that must succeed; its body."""
        answer = await self.http.request(method, path, **more)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        body: Json = answer.json()
        return body

    async def job(self, gcode: bytes, **more: object) -> str:
        file = await self.send("POST", "/files", files={"file": ("part.gcode", gcode)})
        return str((await self.send("POST", "/jobs", json={"file_id": file["id"], **more}))["id"])

    async def job_is(self, job: str, *states: str, within_s: float = 60) -> Json:
        """The job, once it is in one of these states."""

        async def there() -> Json | None:
            now = await self.send("GET", f"/jobs/{job}")
            return now if now["state"] in states else None

        return await eventually(there, within_s=within_s)

    async def attempt_is(self, job: str, *states: str, within_s: float = 60) -> Json:
        """The job's newest attempt, once it is in one of these states."""

        async def there() -> Json | None:
            items = (await self.send("GET", f"/jobs/{job}/attempts"))["items"]
            return items[0] if items and items[0]["state"] in states else None

        return await eventually(there, within_s=within_s)

    async def printer_is(self, connection: str, within_s: float = 60) -> None:
        async def there() -> bool:
            return bool((await self.send("GET", f"/printers/{self.printer}"))["connection"] == connection)

        await eventually(there, within_s=within_s)

    async def clear_bed(self, attempt: Json) -> None:
        await self.send("POST", f"/printers/{self.printer}/bed-cleared", json={"attempt_id": attempt["id"]})

    def starts(self, attempt: Json) -> int:
        """How often OctoPrint's own log says that the attempt's file was started."""
        return self.octoprint.starts(f"fluxprint/{attempt['created_at'][:7]}/{attempt['id']}.gcode")

    async def history(self, attempt: Json) -> tuple[int, int]:
        """Successes and failures by OctoPrint's own history."""
        return await self.octoprint.successes_and_failures(
            f"fluxprint/{attempt['created_at'][:7]}/{attempt['id']}.gcode"
        )
