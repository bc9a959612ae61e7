"""Two ways to the printing printer, the system's and OctoPrint's own, compared on one OctoPrint in one run."""

import asyncio
import hashlib
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import SecretStr

from fluxprint_bridge.octoprint import push
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.process import Process
from fluxprint_local.supervisor import Supervisor
from tools.bench.system import POLL_S, SETTLE_S, WAIT_TIMEOUT_S, Workshop

ROUNDS = 24
FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class Ways:
    """Medians in seconds, each from the request until OctoPrint's state is `Printing`."""

    direct_s: float
    system_s: float

    @property
    def ratio(self) -> float:
        return self.system_s / self.direct_s


class Watch:
    """Hears from OctoPrint itself, over its push socket, when a print has begun. The same for both ways."""

    def __init__(self, printer: OctoPrint) -> None:
        self._printer = printer
        self._open = asyncio.Event()
        self._printing = asyncio.Event()
        self._printing_at = 0.0

    async def run(self) -> None:
        async with OctoPrintClient(self._printer.url, SecretStr(self._printer.keys.admin)) as client:
            async for message in push.listen(client):
                self._open.set()
                if isinstance(message, push.Event) and message.text("state_id") == "PRINTING":
                    self._printing_at = time.perf_counter()
                    self._printing.set()

    async def is_open(self) -> None:
        await self._open.wait()

    async def time(self, start: Callable[[], Awaitable[object]]) -> float:
        """Seconds from before `start` until `Printing`."""
        self._printing.clear()
        began = time.perf_counter()
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await start()
            await self._printing.wait()
        return self._printing_at - began


@dataclass(frozen=True)
class Stand:
    """What a round works with: `octoprint` speaks to OctoPrint as its owner."""

    watch: Watch
    octoprint: httpx.AsyncClient
    workshop: Workshop


Round = Callable[[Stand], Awaitable[float]]


async def compare(
    supervisor: Supervisor, bridge: Process, workshop: Workshop, printer: OctoPrint, *, direct: Round, system: Round
) -> Ways:
    """Rounds of both ways. The bridge runs only for the system's, which lie between two halves of the others.

    The first round of each warms up.
    """
    headers = {"X-Api-Key": printer.keys.admin}
    async with (
        _watching(printer) as watch,
        httpx.AsyncClient(base_url=printer.url, headers=headers, timeout=WAIT_TIMEOUT_S) as octoprint,
    ):
        stand = Stand(watch, octoprint, workshop)
        before = [await direct(stand) for _ in range(ROUNDS // 2 + 1)]
        await _tidy(stand, keep=None)  # or the bridge would find a print by hand that nobody cleared
        await supervisor.start(bridge)
        await workshop.is_online()
        through = [await system(stand) for _ in range(ROUNDS + 1)]
        await supervisor.end(bridge.name)
        after = [await direct(stand) for _ in range(ROUNDS // 2)]
    return Ways(statistics.median(before[1:] + after), statistics.median(through[1:]))


def gcode() -> bytes:
    """A file of `FILE_BYTES` that nobody had before, in short steps, so that a cancelled print ends at once."""
    step = "G4 P50\nG1 X{x} Y{y} E{e:.3f} F6000\n"
    lines = [f"; bench {os.urandom(8).hex()}\nG21\nG90\nM82\nG92 E0\n"]
    size = len(lines[0])
    while size < FILE_BYTES:
        number = len(lines)
        lines.append(step.format(x=number % 100, y=number % 50, e=number * 0.01))
        size += len(lines[-1])
    return "".join(lines).encode()


async def until_brought(stand: Stand, content: bytes) -> None:
    """Wait until OctoPrint has a file, whoever brought it."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while await _described(stand, content) is None:
            await asyncio.sleep(5 * POLL_S)
    await asyncio.sleep(SETTLE_S)  # the bridge reads it back


async def until_analysed(stand: Stand, content: bytes) -> None:
    """Wait until OctoPrint has a file and has analysed it, which takes a second of a core and is over in life as well
    when the printer becomes free."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while "gcodeAnalysis" not in (await _described(stand, content) or {}):
            await asyncio.sleep(10 * POLL_S)
    await asyncio.sleep(SETTLE_S)


async def _described(stand: Stand, content: bytes) -> dict[str, object] | None:
    wanted = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    return next((file for file in await _files(stand) if file.get("hash") == wanted), None)


async def _files(stand: Stand) -> list[dict[str, object]]:
    """All files that OctoPrint has, in whatever folder."""
    answer = await stand.octoprint.get("/api/files", params={"recursive": "true"})
    entries: list[dict[str, Any]] = list(answer.json()["files"])
    for entry in entries:  # grows by what is in folders
        entries += entry.get("children", [])
    return [entry for entry in entries if entry["type"] != "folder"]


async def end_by_hand(stand: Stand) -> None:
    """End a print that is not the system's."""
    await asyncio.sleep(SETTLE_S)
    (await stand.octoprint.post("/api/job", json={"command": "cancel"})).raise_for_status()
    await _until_quiet(stand)


async def end_job(stand: Stand, job: str) -> None:
    """End a print of the system. Its part stays on the bed."""
    await asyncio.sleep(SETTLE_S)
    await stand.workshop.cancel(job)
    await _until_quiet(stand)


async def _until_quiet(stand: Stand) -> None:
    """Wait until the printer is idle and its file analysed, as in life. What was printed before that is deleted."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while (job := (await stand.octoprint.get("/api/job")).json())["state"] != "Operational":
            await asyncio.sleep(POLL_S)
    path = job["job"]["file"]["path"]
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while not any(file["path"] == path and "gcodeAnalysis" in file for file in await _files(stand)):
            await asyncio.sleep(10 * POLL_S)
    await _tidy(stand, keep=path)


async def _tidy(stand: Stand, *, keep: str | None) -> None:
    for file in await _files(stand):
        if file["path"] != keep:
            answer = await stand.octoprint.delete(f"/api/files/local/{file['path']}")
            if answer.status_code not in {404, 409}:  # the bridge was quicker, or works with it
                answer.raise_for_status()


@asynccontextmanager
async def _watching(printer: OctoPrint) -> AsyncIterator[Watch]:
    """A watch that hears already."""
    watch = Watch(printer)
    task = asyncio.create_task(watch.run())
    try:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await watch.is_open()
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
