"""The whole system as `up` starts it, and a workshop in it: people, a bridge, a real OctoPrint."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fluxprint_local.octoprint import OctoPrint
from support import browser, servers
from support.bridge import BridgeProcess
from support.queue import eventually
from tools.bench import system as whole
from tools.bench.system import Json, System

__all__ = ["System", "Workshop", "running_system"]


@asynccontextmanager
async def running_system(folder: Path) -> AsyncIterator[System]:
    """`up` on a free port, from when every service answers through Traefik."""
    system = System(
        folder, AUTH_LIMIT_REGISTER="1000/hour", QUEUE_OFFLINE_AFTER_S="5", FLUXPRINT_CORS_ORIGINS=browser.ORIGIN
    )
    async with servers.started(system.up(), folder.with_name("up.log"), timeout_s=90):
        yield system


class Workshop(whole.Workshop):
    """An organisation with a bridge and one printer, on a real OctoPrint; everything goes through Traefik."""

    def __init__(self, system: System, octoprint: OctoPrint, folder: Path) -> None:
        super().__init__(system)
        self.system = system
        self.octoprint = octoprint
        self.folder = folder

    def bridge(self, *, cameras: Mapping[str, str] | None = None, **settings: str) -> BridgeProcess:
        """A bridge for the printer; not started yet. Addresses of several cameras are given by their keys."""
        self.folder.mkdir(parents=True, exist_ok=True)
        key = self.octoprint.keys.bridge
        where = {"OCTOPRINT_URL": self.octoprint.url, "OCTOPRINT_API_KEY": key}
        if cameras:
            printer = {"id": self.printer, "octoprint_url": self.octoprint.url, "octoprint_api_key": key}
            entries = [("printers", printer), *(("printers.cameras", {"key": k, "url": u}) for k, u in cameras.items())]
            file = self.folder / "bridge.toml"
            file.write_text("".join(f"[[{name}]]\n{_toml(fields)}" for name, fields in entries))
            where = {"BRIDGE_CONFIG": str(file)}
        return BridgeProcess(
            self.folder,
            cloud_url=self.system.url,
            settings={"BRIDGE_AUTH_TOKEN": self.bridge_token, **where, **settings},
        )

    async def job(self, gcode: bytes, **more: object) -> str:
        return await self.queue(await self.upload(gcode), **more)

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
        return self.octoprint.starts(_path(attempt))

    async def history(self, attempt: Json) -> tuple[int, int]:
        """Successes and failures by OctoPrint's own history."""
        return await self.octoprint.successes_and_failures(_path(attempt))


def _toml(fields: Mapping[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


def _path(attempt: Json) -> str:
    return f"fluxprint/{attempt['created_at'][:7]}/{attempt['id']}.gcode"
