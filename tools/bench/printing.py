"""From the wish to the printing printer: a job through the whole system, against OctoPrint's own upload-and-print."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import psutil
from pydantic import SecretStr

from fluxprint_bridge.octoprint import push
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_local.octoprint import OctoPrint
from tools.bench.system import POLL_S, SETTLE_S, WAIT_TIMEOUT_S, Workshop

ROUNDS = 15
FILE_BYTES = 1_000_000


@dataclass(frozen=True)
class Printing:
    """Medians in seconds, each from the request until OctoPrint's state is `Printing`."""

    direct_s: float
    system_s: float


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

    async def time(self, start: Callable[[], Awaitable[None]]) -> float:
        """Seconds from before `start` until `Printing`."""
        self._printing.clear()
        began = time.perf_counter()
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            await start()
            await self._printing.wait()
        return self._printing_at - began


@asynccontextmanager
async def watching(printer: OctoPrint) -> AsyncIterator[Watch]:
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


async def measure(workshop: Workshop, printer: OctoPrint, bridge: psutil.Process) -> Printing:
    """Interleaved rounds of both ways; the first of each warms up."""
    await workshop.is_online()
    direct: list[float] = []
    through: list[float] = []
    headers = {"X-Api-Key": printer.keys.admin}
    async with (
        watching(printer) as watch,
        httpx.AsyncClient(base_url=printer.url, headers=headers, timeout=WAIT_TIMEOUT_S) as octoprint,
    ):
        for _ in range(ROUNDS + 1):
            direct.append(await _directly(watch, octoprint, bridge))
            await workshop.clear_bed()
            through.append(await _through_the_system(watch, octoprint, workshop))
            await workshop.clear_bed()
    return Printing(statistics.median(direct[1:]), statistics.median(through[1:]))


async def _directly(watch: Watch, octoprint: httpx.AsyncClient, bridge: psutil.Process) -> float:
    """Upload with `print=true`. The bridge stands still meanwhile: without FluxPrint there is none."""
    content = gcode()

    async def start() -> None:
        files = {"file": ("bench.gcode", content)}
        answer = await octoprint.post("/api/files/local", files=files, data={"print": "true"})
        answer.raise_for_status()

    bridge.suspend()
    try:
        took_s = await watch.time(start)
    finally:
        bridge.resume()
    await asyncio.sleep(SETTLE_S)  # the bridge sees it print
    (await octoprint.post("/api/job", json={"command": "cancel"})).raise_for_status()
    await forget_selected(octoprint)
    return took_s


async def _through_the_system(watch: Watch, octoprint: httpx.AsyncClient, workshop: Workshop) -> float:
    """Create a job of a file that the system has."""
    file = await workshop.upload(gcode())
    job = ""

    async def start() -> None:
        nonlocal job
        job = await workshop.queue(file)

    took_s = await watch.time(start)
    await asyncio.sleep(SETTLE_S)
    await workshop.cancel(job)
    await forget_selected(octoprint)
    return took_s


async def forget_selected(octoprint: httpx.AsyncClient) -> None:
    """Wait until the printer is idle and delete its file, so that OctoPrint does not go on to analyse it."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while (job := (await octoprint.get("/api/job")).json())["state"] != "Operational":
            await asyncio.sleep(POLL_S)
    path = job["job"]["file"]["path"]
    (await octoprint.delete(f"/api/files/local/{path}")).raise_for_status()
