"""Notices prints that are not ours. They are never disturbed; the queue is told, because the bed is not clear then."""

import asyncio

from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.journal import Step
from fluxprint_bridge.octoprint.errors import OctoPrintError
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState
from fluxprint_bridge.plain import plain_text
from fluxprint_bridge.printer.desk import Desk
from fluxprint_bridge.printer.recovery import attempt_of
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_AGAIN_S = 5.0
MAX_BACKOFF_S = 30.0
MAX_NAME_CHARS = 200
RUNNING = "running"


async def watch_foreign(desk: Desk) -> None:
    """Notice and tell for ever."""
    await _tell(desk)  # what the process before this one could not tell
    mark = desk.monitor.mark
    noticed: str | None = None  #: the print that is on
    known: str | None = None  #: the finished file that needs no second look
    handled: Job | None = None
    disowned = desk.disowned
    while True:
        changed = desk.monitor.changed
        if desk.disowned is not disowned:
            handled, disowned = None, desk.disowned
        heard, mark = desk.monitor.events_since(mark), desk.monitor.mark
        for event in heard:
            path = event.text("path")
            if event.kind == "PrintStarted" and path != noticed and attempt_of(path) is None:
                noticed, handled = path, None
                await notice(desk, path)
        job = await _news(desk, handled)
        if job is not None:
            handled = job
            if job.state in ACTIVE and job.path != noticed and not await _ours(desk, job.path):
                noticed = job.path
                await notice(desk, job.path)
            elif job.state is PrinterState.IDLE:
                await _look_back(desk, job, known=noticed or known)
                noticed, known = None, job.path
            if noticed is None:  # else its end is still to be told
                desk.foreign_told.set()
        await desk.monitor.wait(changed, LOOK_AGAIN_S)


async def _news(desk: Desk, handled: Job | None) -> Job | None:
    """The printer's state, by a fresh look, if it seems to have changed: a push message may be older than a look."""
    pushed = desk.monitor.snapshot.job
    if pushed is None or (handled is not None and _gist(pushed) == _gist(handled)):
        return None
    try:
        return await desk.monitor.look()
    except OctoPrintError:
        return None


def _gist(job: Job) -> tuple[object, ...]:
    return job.state in ACTIVE, job.state, job.path, (job.completion or 0) >= 100, job.last_print_time_s


async def _ours(desk: Desk, path: str | None) -> bool:
    """A path of ours is ours until its attempt ended; then somebody started it by hand, which is no job."""
    if desk.work is not None and desk.work.attempt.path == path:
        return True
    attempt_id = attempt_of(path)
    if attempt_id is None or path in desk.disowned:
        return False
    attempt = await desk.journal.attempt(attempt_id)
    return attempt is None or attempt.state is not Step.ENDED


async def _look_back(desk: Desk, job: Job, *, known: str | None) -> None:
    """Tell the end of the foreign print that was on; notice one that ran while this bridge did not.

    The end is told although the start was: somebody may have confirmed a clear bed in between. A run is told from the
    next by its print time, which OctoPrint fills in a moment after the end.
    """
    finished = job.path is not None and (job.completion or 0) >= 100 and attempt_of(job.path) is None
    run = f"{job.path}@{job.last_print_time_s}" if finished else "over"
    note = await desk.journal.foreign(desk.printer_id)
    if note is not None and note.run == RUNNING:
        await notice(desk, note.file_name, run=run)
    elif note is not None and note.run != run and finished and job.path == known:
        await desk.journal.saw_foreign(desk.printer_id, file_name=note.file_name, run=run, delivered=note.delivered)
    elif finished and job.path != known and (note is None or note.run != run):
        await notice(desk, job.path, run=run)


async def notice(desk: Desk, path: str | None, *, run: str = RUNNING) -> None:
    """Note a foreign print and tell the queue; nothing is claimed before that."""
    log.warning("foreign_print", file=path, run=run)
    desk.foreign_told.clear()
    desk.foreign_prints += 1
    name = plain_text(path or "")[-MAX_NAME_CHARS:].strip() or "unknown"
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
