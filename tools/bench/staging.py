"""From the cleared bed to the printing printer, its file staged: against selecting and starting a file at OctoPrint."""

from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.process import Process
from fluxprint_local.supervisor import Supervisor
from tools.bench.system import Workshop
from tools.bench.ways import Stand, Ways, compare, end_by_hand, end_job, gcode, until_analysed


async def measure(supervisor: Supervisor, bridge: Process, workshop: Workshop, printer: OctoPrint) -> Ways:
    """In a workshop whose bed is not clear, so that jobs are staged and wait."""
    return await compare(supervisor, bridge, workshop, printer, direct=_directly, system=_through_the_system)


def show(measured: Ways) -> None:
    print(f"""
From the request to OctoPrint's `Printing`, file there  median            aim
  select and start at OctoPrint itself            {measured.direct_s * 1000:7.0f} ms
  POST bed-cleared, through the whole system      {measured.system_s * 1000:7.0f} ms
  ratio                                           {measured.ratio:7.2f}       <= 2""")


async def _directly(stand: Stand) -> float:
    """Select and print a file that OctoPrint has."""
    content = gcode()
    files = {"file": ("bench.gcode", content)}
    (await stand.octoprint.post("/api/files/local", files=files)).raise_for_status()
    await until_analysed(stand, content)

    async def start() -> None:
        body = {"command": "select", "print": True}
        (await stand.octoprint.post("/api/files/local/bench.gcode", json=body)).raise_for_status()

    took_s = await stand.watch.time(start)
    await end_by_hand(stand)
    return took_s


async def _through_the_system(stand: Stand) -> float:
    """Confirm a clear bed while the next job's file is staged."""
    content = gcode()
    job = await stand.workshop.queue(await stand.workshop.upload(content))
    await until_analysed(stand, content)
    bed = await stand.workshop.bed()

    async def start() -> None:
        await stand.workshop.confirm_clear(bed)

    took_s = await stand.watch.time(start)
    await end_job(stand, job)
    return took_s
