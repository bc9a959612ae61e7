"""From the wish to the printing printer: a job through the whole system, against OctoPrint's own upload-and-print."""

from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.process import Process
from fluxprint_local.supervisor import Supervisor
from tools.bench.system import Workshop
from tools.bench.ways import Stand, Ways, compare, end_by_hand, end_job, gcode


async def measure(supervisor: Supervisor, bridge: Process, workshop: Workshop, printer: OctoPrint) -> Ways:
    return await compare(supervisor, bridge, workshop, printer, direct=_directly, system=_through_the_system)


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


async def _through_the_system(stand: Stand) -> float:
    """Create a job of a file that the system has."""
    file = await stand.workshop.upload(gcode())
    job = ""

    async def start() -> None:
        nonlocal job
        job = await stand.workshop.queue(file)

    took_s = await stand.watch.time(start)
    await end_job(stand, job)
    await stand.workshop.confirm_clear(await stand.workshop.bed())
    return took_s
