"""From the wish to the printing printer: a job through the whole system, against OctoPrint's own upload-and-print."""

import functools
from dataclasses import dataclass

from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.process import Process
from fluxprint_local.supervisor import Supervisor
from tools.bench.system import Workshop
from tools.bench.ways import Stand, Ways, compare, end_by_hand, end_job, gcode, until_brought


@dataclass(frozen=True)
class Prints:
    """From `POST /jobs`: of a file that was uploaded seconds ago, and of one that was uploaded just now."""

    brought: Ways
    at_once: Ways


async def measure(supervisor: Supervisor, bridge: Process, workshop: Workshop, printer: OctoPrint) -> Prints:
    """Between the upload and the job as long as the bridge takes to bring the file, and no time at all."""
    ways = [
        await compare(
            supervisor, bridge, workshop, printer,
            direct=_directly, system=functools.partial(_through_the_system, brought=brought),
        )
        for brought in (True, False)
    ]  # fmt: skip
    return Prints(*ways)


async def _directly(stand: Stand) -> float:
    """Upload with `print=true`."""
    content = gcode()

    async def start() -> None:
        files = {"file": ("bench.gcode", content)}
        answer = await stand.octoprint.post("/api/files/local", files=files, data={"print": "true"})
        answer.raise_for_status()

    took_s = await stand.watch.time(start)
    await end_by_hand(stand)
    return took_s


async def _through_the_system(stand: Stand, *, brought: bool) -> float:
    """Create a job of a file that the system has."""
    content = gcode()
    file = await stand.workshop.upload(content)
    if brought:
        await until_brought(stand, content)
    job = ""

    async def start() -> None:
        nonlocal job
        job = await stand.workshop.queue(file)

    took_s = await stand.watch.time(start)
    await end_job(stand, job)
    await stand.workshop.confirm_clear(await stand.workshop.bed())
    return took_s
