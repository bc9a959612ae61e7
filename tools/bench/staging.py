"""From the cleared bed to the printing printer, its file staged: against selecting and starting a file at OctoPrint."""

import asyncio
import hashlib
import statistics
from dataclasses import dataclass

import httpx
import psutil

from fluxprint_local.octoprint import OctoPrint
from tools.bench.printing import Watch, forget_selected, gcode, watching
from tools.bench.system import POLL_S, SETTLE_S, WAIT_TIMEOUT_S, Workshop

ROUNDS = 15


@dataclass(frozen=True)
class Staging:
    """Medians in seconds, each from the request until OctoPrint's state is `Printing`."""

    direct_s: float
    system_s: float


async def measure(workshop: Workshop, printer: OctoPrint, bridge: psutil.Process) -> Staging:
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
            # What was printed by hand lies on the bed, so the next job is staged and waits.
            through.append(await _through_the_system(watch, octoprint, workshop))
            await workshop.clear_bed()
    return Staging(statistics.median(direct[1:]), statistics.median(through[1:]))


def show(measured: Staging) -> None:
    print(f"""
From the request to OctoPrint's `Printing`, file there  median            aim
  select and start at OctoPrint itself            {measured.direct_s * 1000:7.0f} ms
  POST bed-cleared, through the whole system      {measured.system_s * 1000:7.0f} ms
  ratio                                           {measured.system_s / measured.direct_s:7.2f}       <= 2""")


async def _directly(watch: Watch, octoprint: httpx.AsyncClient, bridge: psutil.Process) -> float:
    """Select and print a file that OctoPrint has. The bridge stands still meanwhile."""
    files = {"file": ("bench.gcode", gcode())}
    (await octoprint.post("/api/files/local", files=files)).raise_for_status()

    async def start() -> None:
        body = {"command": "select", "print": True}
        (await octoprint.post("/api/files/local/bench.gcode", json=body)).raise_for_status()

    bridge.suspend()
    try:
        took_s = await watch.time(start)
    finally:
        bridge.resume()
    await asyncio.sleep(SETTLE_S)  # the bridge sees it print
    (await octoprint.post("/api/job", json={"command": "cancel"})).raise_for_status()
    await forget_selected(octoprint)
    await asyncio.sleep(SETTLE_S)  # and end
    return took_s


async def _through_the_system(watch: Watch, octoprint: httpx.AsyncClient, workshop: Workshop) -> float:
    """Confirm a clear bed while the next job's file is staged."""
    content = gcode()
    job = await workshop.queue(await workshop.upload(content))
    await _until_staged(octoprint, content)
    bed = await workshop.bed()

    async def start() -> None:
        await workshop.confirm_clear(bed)

    took_s = await watch.time(start)
    await asyncio.sleep(SETTLE_S)
    await workshop.cancel(job)
    await forget_selected(octoprint)
    return took_s


async def _until_staged(octoprint: httpx.AsyncClient, content: bytes) -> None:
    wanted = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while wanted not in (await octoprint.get("/api/files", params={"recursive": "true"})).text:
            await asyncio.sleep(5 * POLL_S)
    await asyncio.sleep(SETTLE_S)  # the bridge reads it back
