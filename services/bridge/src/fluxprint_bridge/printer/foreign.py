"""Notices prints that are not ours. They are never disturbed; the queue is told, because the bed is not clear then."""

import asyncio
from contextlib import aclosing

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.foreign_print import OVER, RUNNING
from fluxprint_bridge.journal import Step
from fluxprint_bridge.octoprint.errors import OctoPrintError
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState, Prints
from fluxprint_bridge.plain import plain_text
from fluxprint_bridge.printer.desk import Desk
from fluxprint_bridge.printer.recovery import attempt_of
from fluxprint_bridge.printer.unseen import Unseen
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

LOOK_AGAIN_S = 5.0
MAX_BACKOFF_S = 30.0
TELL_AGAIN_S = 1.0
MAX_NAME_CHARS = 200
_NOT_STARTED = frozenset({Step.CLAIMED, Step.PERMITTED})
_MAYBE_STARTED = frozenset(Step) - _NOT_STARTED - {Step.ENDED}


async def watch_foreign(desk: Desk) -> None:
    """Notice and tell for ever."""
    await _tell(desk)  # what the process before this one could not tell
    mark = desk.monitor.mark
    is_on, noticed = False, None  #: the print that is on, perhaps of a file that nobody names
    known: str | None = None  #: the finished file that needs no second look
    unclear: str | None = None  #: the print that may be ours, but nothing here tells of it
    handled: tuple[object, ...] | None = None
    disowned = desk.disowned
    unseen = Unseen(desk)
    await unseen.open()
    while True:
        changed = desk.monitor.changed
        if desk.disowned is not disowned:
            handled, disowned = None, desk.disowned
        heard, mark = desk.monitor.events_since(mark), desk.monitor.mark
        started = [event.text("path") for event in heard if event.kind == "PrintStarted"]
        by_hand = [path for path in started if not (is_on and path == noticed) and await _by_hand(desk, path)]
        for path in started:
            if await _only_the_queue_knows(desk, path):  # it may be over already
                unclear, handled = path, None
        if by_hand:  # the newest says it all: the bed is not clear
            is_on, noticed, handled = True, by_hand[-1], None
            await notice(desk, noticed)
        try:
            job = await _news(desk, handled)
            if job is not None:
                looked = gist(desk, job)
                if job.state in ACTIVE and not (is_on and job.path == noticed) and not await _ours(desk, job.path):
                    is_on, noticed = True, job.path
                    await notice(desk, noticed)
                elif job.state in ACTIVE and await _only_the_queue_knows(desk, job.path):
                    unclear = job.path
                elif job.state is PrinterState.IDLE:
                    seen = desk.foreign_prints
                    await _look_back(desk, job, unseen, known=noticed if is_on else known)
                    is_on, noticed, known = False, None, job.path if _is_over(job) else None
                    # By now the queue has given its attempt, or was not asked: then it may as well be a person's. While
                    # another process works with this bridge's token, it is that one's business.
                    untold = desk.foreign_prints == seen and not desk.standing_back
                    if untold and await _only_the_queue_knows(desk, unclear):
                        await notice(desk, unclear, run=OVER)
                    unclear = None
                handled = looked
                desk.has_handled(looked)
            await unseen.go_on()
        except OctoPrintError:
            pass  # it is looked at again
        if not is_on and handled is not None and not desk.foreign_told.is_set():  # else its end is still to be told
            await _all_told(desk)
        await desk.monitor.wait(changed, LOOK_AGAIN_S)


async def _news(desk: Desk, handled: tuple[object, ...] | None) -> Job | None:
    """The printer's state, by a fresh look, if it seems to have changed: a push message may be older than a look.

    Raises `OctoPrintError`.
    """
    pushed = desk.monitor.snapshot.job
    if pushed is None or gist(desk, pushed) == handled:
        return None
    return await desk.monitor.look()


def gist(desk: Desk, job: Job) -> tuple[object, ...]:
    """What differs when something was, or may have been, printed meanwhile."""
    return desk.monitor.gaps, job.state in ACTIVE, job.state, job.path, _is_over(job), job.last_print_time_s


def _is_over(job: Job) -> bool:
    """Whether the selected file was printed to its end."""
    return (job.completion or 0) >= 100


async def _ours(desk: Desk, path: str | None) -> bool:
    """Whether what prints now is ours: this bridge may have started it, or only the queue can say (`Worker._disown`).

    A file of ours that somebody prints by hand, before its start or after its end, is no job.
    """
    if attempt_of(path) is None or path in desk.disowned:
        return False
    return await _step(desk, path) in _MAYBE_STARTED or await _only_the_queue_knows(desk, path)


async def _only_the_queue_knows(desk: Desk, path: str | None) -> bool:
    """Whether it looks like ours, and nothing here tells of its attempt: the journal was lost, or another has it."""
    if attempt_of(path) is None:
        return False
    return await _step(desk, path) is None and not await _is_staged(desk, path)


async def _by_hand(desk: Desk, path: str | None) -> bool:
    """Whether a start that was told some time ago was certainly not ours: ours may have ended since."""
    if attempt_of(path) is None or (step := await _step(desk, path)) in _NOT_STARTED:
        return True
    return step is None and await _is_staged(desk, path)


async def _step(desk: Desk, path: str | None) -> Step | None:
    attempt = await desk.journal.attempt(attempt_of(path) or "")
    return attempt.state if attempt is not None else None


async def _is_staged(desk: Desk, path: str | None) -> bool:
    """Whether it waits for an attempt: then nobody but a person has started it."""
    return await desk.shelf.of_attempt(attempt_of(path) or "") is not None


async def _look_back(desk: Desk, job: Job, unseen: Unseen, *, known: str | None) -> None:
    """Tell the end of the foreign print that was on; notice one that ran while this bridge did not look.

    Raises `OctoPrintError`.

    The end is told although the start was: somebody may have confirmed a clear bed in between. A run is told from the
    next by its print time, which OctoPrint fills in a moment after the end.
    """
    finished = job.path is not None and _is_over(job) and not await _explained(desk, job.path)
    run = f"{job.path}@{job.last_print_time_s}" if finished else OVER
    gaps, seen = desk.monitor.gaps, desk.foreign_prints
    note = await desk.foreign.last()
    if note is not None and note.run == RUNNING:
        await notice(desk, note.file_name, run=run)
    elif note is not None and note.run != run and finished and job.path == known:
        await desk.foreign.saw(file_name=note.file_name, run=run, delivered=note.delivered)
    elif finished and job.path != known and (note is None or note.run != run):
        await notice(desk, job.path, run=run)
    for file in await desk.shelf.unclaimed():  # another one may be selected since
        found = await desk.octoprint.find(file.path)
        if found is not None and found.prints.any:
            await notice(desk, file.path, run=OVER)
    if desk.foreign_prints == seen and unseen.since is not None:  # else the bed is known not to be clear already
        async with aclosing(desk.octoprint.printed_since(unseen.since)) as printed:
            async for path, prints in printed:
                if not await _explained(desk, path, prints):  # one says it all: the bed is not clear
                    await notice(desk, path, run=OVER)
                    break
    unseen.looked(gaps)


async def _explained(desk: Desk, path: str, prints: Prints | None = None) -> bool:
    """Whether a print that is over may have been an attempt's; of one that is not known here the queue decides.

    An attempt starts its file once: what OctoPrint counts beyond that was started by hand. Raises `OctoPrintError`.
    """
    if (attempt_id := attempt_of(path)) is None:
        return False
    attempt = await desk.journal.attempt(attempt_id)
    if attempt is None and await _is_staged(desk, path):
        return False
    if attempt is not None and (attempt.shown == "released" or attempt.state is not Step.ENDED):
        return attempt.shown != "released"
    if prints is None:
        found = await desk.octoprint.file(path)
        prints = found.prints if found is not None else Prints()
    return not prints.again


async def notice(desk: Desk, path: str | None, *, run: str = RUNNING) -> None:
    """Note a foreign print and tell the queue; nothing is claimed before that."""
    log.warning("foreign_print", file=path, run=run)
    desk.foreign_told.clear()
    desk.foreign_prints += 1
    name = plain_text(path or "")[-MAX_NAME_CHARS:].strip() or "unknown"
    await desk.foreign.saw(file_name=name, run=run)
    if path is not None and (attempt_id := attempt_of(path)) is not None:
        desk.disowned = {path}
        await desk.shelf.forget(attempt_id)  # what was staged and printed by hand is no attempt's any more
    await _tell(desk)


async def tell_what_is_noted(desk: Desk) -> None:
    """Notice what the outbox noted when the queue refused an end: nobody else looks for that."""
    if desk.foreign_told.is_set() and (note := await desk.foreign.last()) is not None and not note.delivered:
        await notice(desk, note.file_name, run=note.run)


async def _all_told(desk: Desk) -> None:
    """Let work go on, unless one is noticed at this very moment. The worker, the outbox and the stager notice, too."""
    seen = desk.foreign_prints
    await _tell(desk)
    if seen == desk.foreign_prints:
        desk.foreign_told.set()


async def _tell(desk: Desk) -> None:
    """Tell what the journal holds, at most once a second: of several the newest, for the bed is the same."""
    failures = 0
    async with desk.telling:
        while (note := await desk.foreign.last()) is not None and not note.delivered:
            if (left_s := desk.tell_at - clock.now()) > 0:
                await asyncio.sleep(left_s)
                continue
            desk.tell_at = clock.now() + TELL_AGAIN_S
            try:
                await desk.api.foreign_print(desk.printer_id, file_name=note.file_name)
            except CloudUnavailable as error:
                failures += 1
                log.warning("foreign_print_not_told", error=str(error)[:300])
                await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
                continue
            except CloudRefused as refused:
                log.error("foreign_print_refused", code=refused.code)
            await desk.foreign.told(note)
