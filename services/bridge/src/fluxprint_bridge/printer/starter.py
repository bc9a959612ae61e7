"""Asks for the permit and presses start: once, after the intent is on the disk. Proof is the watcher's business."""

import asyncio
import contextlib
from dataclasses import dataclass

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudUnavailable
from fluxprint_bridge.journal import Step
from fluxprint_bridge.octoprint.errors import Conflict, KeyRefused, NotSent, OctoPrintError, Refused, Unavailable
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState
from fluxprint_bridge.printer.desk import Desk, Phase, Work
from fluxprint_bridge.printer.foreign import gist
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_AGAIN_S = 5.0
LOOK_BACK_S = 0.5  # that look itself asks OctoPrint much
MAX_BACKOFF_S = 5.0
MAX_REFUSED_STARTS = 3


class NotReady(Exception):
    """The printer can't take a print now; nothing was started. `reason` is a report's reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class Look:
    """What the printer did at a moment (`clock.now`), or later."""

    at: float
    job: Job


async def look(desk: Desk) -> Look:
    """Ask OctoPrint. Raises `OctoPrintError`."""
    at = clock.now()
    return Look(at, await desk.monitor.look())


async def until_idle(desk: Desk, work: Work, *, timeout_s: float | None, early: Look | None = None) -> float:
    """Wait until OctoPrint says right now that its printer is ready, and nothing that was printed is to be told.

    `early` is a look that was made while the queue was asked. Returns the moment of the look (`clock.now`). Raises
    `NotReady` and `KeyRefused`.
    """
    deadline = None if timeout_s is None else clock.now() + timeout_s
    while not work.cancel_wanted:
        changed, work_changed, looked_back = desk.monitor.changed, work.changed, desk.looked_back
        reason, problem, pause_s = "printer_offline", "OctoPrint does not answer.", LOOK_AGAIN_S
        try:
            seen, early = early or await look(desk), None
        except KeyRefused:
            raise
        except OctoPrintError:
            pass
        else:
            job = seen.job
            told = desk.foreign_told.is_set() and gist(desk, job) == desk.handled
            if job.state is PrinterState.IDLE and told:
                return seen.at
            if job.state in ACTIVE:
                raise NotReady("printer_busy", f"The printer prints something else: {(job.path or 'unknown')[:100]}")
            if job.state is PrinterState.IDLE:
                reason, problem = "printer_busy", "The cloud was not told of another print."
                if desk.foreign_told.is_set():
                    # Something may have been printed while nobody looked: it is looked into.
                    pause_s, changed = LOOK_BACK_S, looked_back
                else:
                    changed = desk.foreign_told
            else:
                problem = f"The printer is not connected to OctoPrint ({job.error or job.text})."
        if deadline is not None and clock.now() >= deadline:
            raise NotReady(reason, problem)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await until_first(changed.wait(), work_changed.wait())
    return clock.now()


async def never_started(desk: Desk, path: str) -> bool:
    """Whether OctoPrint knows of no start of `path`, as the journal says. Waits until it answers.

    Where the folder is gone, and with it all that OctoPrint would know, nobody can say so.
    """
    while True:
        try:
            job = await desk.monitor.look()
            file = await desk.octoprint.find(path)
            if file is None and await desk.octoprint.lacks_folder_of(path):
                return False
        except OctoPrintError as error:
            if isinstance(error, KeyRefused):
                desk.doubt_key(error)
            await asyncio.sleep(LOOK_AGAIN_S)
            continue
        if job.path == path or (file is not None and file.prints.any):
            return False
        trace = await desk.octoprint.log_trace(path)
        return trace is None or trace.started_at is None


async def permitted_until(desk: Desk, work: Work, *, looked_at: float) -> float:
    """Get the permit; returns the moment (`clock.now`) until which start may be pressed.

    It is counted from the look at the printer: nothing can have been printed since that is shorter than a permit.
    Asks again while the cloud does not answer: the grant is the same. Raises `CloudRefused`.
    """
    failures = 0
    if not work.permit_asked:
        work.permit_asked, work.foreign_prints = True, desk.foreign_prints
    attempt = work.attempt
    while True:
        try:
            valid_s = await desk.api.permit(attempt.id, fence=attempt.fence, journal_id=desk.journal.journal_id)
        except CloudUnavailable as error:
            failures += 1
            log.warning("permit_not_answered", attempt=attempt.id, error=str(error)[:300])
            await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
        else:
            return looked_at + valid_s


async def start(desk: Desk, work: Work, permit_ends_at: float) -> bool:
    """Press start within the permit, or report why not. Returns whether it may print now.

    The permit is given: from here on only a report ends the attempt, so waiting for the printer has no end but a
    person's cancel. Raises `NotReady` where it is proven that nothing was started, and `CloudRefused` when the permit,
    asked for again, is refused.
    """
    refused_starts = 0
    while True:
        if work.cancel_wanted:
            await cancelled_before_start(desk, work)
            return False
        if desk.foreign_prints != work.foreign_prints:
            raise NotReady("printer_busy", "Something else was printed meanwhile; the bed may not be clear.")
        if clock.now() < permit_ends_at or work.attempt.state is Step.STARTING:
            try:
                if await _press(desk, work, permit_ends_at):
                    return True
            except Conflict as conflict:
                refused_starts += 1
                if await _prints_already(desk, work, conflict, last_try=refused_starts == MAX_REFUSED_STARTS):
                    return True
            except KeyRefused:
                raise
            except Refused as refused:
                raise NotReady("start_refused", str(refused)) from None
        looked_at = await until_idle(desk, work, timeout_s=None)
        if not work.cancel_wanted and desk.foreign_prints == work.foreign_prints:
            permit_ends_at = await permitted_until(desk, work, looked_at=looked_at)


async def cancelled_before_start(desk: Desk, work: Work) -> None:
    """The job was cancelled after the permit and before the start."""
    work.attempt = await desk.report(
        work.attempt, "cancelled", reason="cancelled_before_start", detail="Cancelled before anything was started."
    )


async def _press(desk: Desk, work: Work, permit_ends_at: float) -> bool:
    """The one start request. False: it was certainly not sent. Raises `Refused`: it had no effect.

    A lost answer counts as pressed, and so does a refusal that may not be OctoPrint's: whether it prints is for the
    watcher to see.
    """
    async with desk.control:
        if work.attempt.state is not Step.STARTING:  # else it was written with the claim
            work.attempt = await desk.journal.intend(work.attempt.id)
        if clock.now() >= permit_ends_at:
            await _withdraw(desk, work)
            return False
        work.pressed = True
        try:
            await desk.octoprint.select_and_print(work.attempt.path)
        except NotSent as error:
            log.warning("start_not_sent", attempt=work.attempt.id, error=str(error))
            await _withdraw(desk, work)
            return False
        except Refused as refused:
            log.warning("start_refused", attempt=work.attempt.id, error=str(refused), proven=refused.had_no_effect)
            if refused.had_no_effect:
                await _withdraw(desk, work)
                raise
        except Unavailable as error:
            log.warning("start_not_answered", attempt=work.attempt.id, error=str(error))
        work.to(Phase.STARTED)
        return True


async def _withdraw(desk: Desk, work: Work) -> None:
    work.pressed = False
    work.attempt = await desk.journal.withdraw(work.attempt.id)


async def _prints_already(desk: Desk, work: Work, conflict: Conflict, *, last_try: bool) -> bool:
    """After a 409, which OctoPrint gives for a busy and for a disconnected printer alike: look which.

    Raises `NotReady` where trying again makes no sense.
    """
    job = await _job(desk)
    if job.prints(work.attempt.path):
        work.attempt = await desk.journal.intend(work.attempt.id)
        work.to(Phase.STARTED)
        return True
    if job.state in ACTIVE:
        raise NotReady("printer_busy", f"OctoPrint refused the start: {conflict}")
    if last_try:
        raise NotReady("start_refused", str(conflict))
    return False


async def _job(desk: Desk) -> Job:
    while True:
        changed = desk.monitor.changed
        try:
            return await desk.monitor.look()
        except KeyRefused:
            raise
        except OctoPrintError:
            await desk.monitor.wait(changed, LOOK_AGAIN_S)
