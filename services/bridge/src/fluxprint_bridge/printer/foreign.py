"""Notices prints that are not ours. They are never disturbed; the queue is told, because the bed is not clear then."""

import asyncio

from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.journal import Step
from fluxprint_bridge.octoprint.errors import OctoPrintError
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState
from fluxprint_bridge.printer.desk import Desk
from fluxprint_bridge.printer.recovery import attempt_of
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_AGAIN_S = 5.0
MAX_BACKOFF_S = 30.0
MAX_NAME_CHARS = 200


async def watch_foreign(desk: Desk) -> None:
    """Notice and tell for ever."""
    await _tell(desk)  # what the process before this one could not tell
    noticed: str | None = None
    looked_back_on: Job | None = None
    while True:
        changed = desk.monitor.changed
        job = desk.monitor.snapshot.job
        if job is not None and job.state in ACTIVE:
            if job.path != noticed and await _is_foreign(desk, job):
                noticed = job.path
                await _notice(desk, job, run="now")
        elif job is not None and job.state is PrinterState.IDLE and job != looked_back_on:
            noticed, looked_back_on = None, job
            await _look_back(desk, job)
        if job is not None:
            desk.foreign_told.set()
        await desk.monitor.wait(changed, LOOK_AGAIN_S)


async def _is_foreign(desk: Desk, job: Job) -> bool:
    """Whether this is somebody else's print, by a fresh look: push messages may be older than our last outcome."""
    if await _ours(desk, job.path):
        return False
    try:
        fresh = await desk.monitor.look()
    except OctoPrintError:
        return False
    return fresh.state in ACTIVE and fresh.path == job.path and not await _ours(desk, fresh.path)


async def _ours(desk: Desk, path: str | None) -> bool:
    """A path of ours is ours until its attempt ended; then somebody started it by hand, which is no job."""
    if desk.work is not None and desk.work.attempt.path == path:
        return True
    attempt_id = attempt_of(path)
    if attempt_id is None or path in desk.disowned:
        return False
    attempt = await desk.journal.attempt(attempt_id)
    return attempt is None or attempt.state is not Step.ENDED


async def _look_back(desk: Desk, job: Job) -> None:
    """Close the note on the last foreign print; notice one that ran while this bridge did not."""
    note = await desk.journal.foreign(desk.printer_id)
    finished = job.path is not None and (job.completion or 0) >= 100 and attempt_of(job.path) is None
    run = f"{job.path}@{job.last_print_time_s}" if finished else "over"
    if note is not None and note.run == "now":
        await desk.journal.saw_foreign(desk.printer_id, file_name=note.file_name, run=run, delivered=note.delivered)
    elif finished and (note is None or note.run != run):
        await _notice(desk, job, run=run)


async def _notice(desk: Desk, job: Job, *, run: str) -> None:
    log.warning("foreign_print", file=job.path, state=job.text)
    desk.foreign_told.clear()
    desk.foreign_prints += 1
    name = (job.path or "unknown")[-MAX_NAME_CHARS:]
    await desk.journal.saw_foreign(desk.printer_id, file_name=name, run=run, delivered=False)
    await _tell(desk)


async def _tell(desk: Desk) -> None:
    failures = 0
    while (note := await desk.journal.foreign(desk.printer_id)) is not None and not note.delivered:
        try:
            await desk.api.foreign_print(desk.printer_id, file_name=note.file_name)
        except CloudUnavailable as error:
            failures += 1
            log.warning("foreign_print_not_told", error=str(error)[:300])
            await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
            continue
        except CloudRefused as refused:
            log.error("foreign_print_refused", code=refused.code)
        await desk.journal.saw_foreign(desk.printer_id, file_name=note.file_name, run=note.run, delivered=True)
