"""Watches a print that was, or may have been, started, and reports what becomes of it."""

from fluxprint_bridge import clock
from fluxprint_bridge.journal import Step
from fluxprint_bridge.octoprint.errors import KeyRefused, OctoPrintError
from fluxprint_bridge.octoprint.outcome import NOT_DECIDABLE, Finding, Verdict, by_log, judge
from fluxprint_bridge.octoprint.state import Job, PrinterState, StoredFile
from fluxprint_bridge.printer.desk import Desk, Work
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

WATCH_AGAIN_S = 5.0
LOOK_AGAIN_S = 0.5
FIRST_LOOKS_S = 0.02  # right after the start every message counts

_OUTCOMES = {Verdict.COMPLETED: "completed", Verdict.FAILED: "failed", Verdict.CANCELLED: "cancelled"}


async def watch(desk: Desk, work: Work, *, mark: int) -> None:
    """Report until the outcome is reported, or that it is unknown, or until the queue took the attempt away.

    `mark` is the monitor's before start was pressed. While OctoPrint does not answer nothing is decided.
    """
    doubtful_since: float | None = None
    pause_s = FIRST_LOOKS_S
    while not await _taken_away(desk, work):
        changed = desk.monitor.changed
        mark = await _hear(desk, work, mark)
        try:
            job, file = await _facts(desk, work)
        except OctoPrintError as error:
            log.debug("octoprint_does_not_answer", error=str(error))
            if isinstance(error, KeyRefused):
                desk.doubt_key(error)
            work.notes.silent()
            doubtful_since = None
            await desk.monitor.wait(changed, WATCH_AGAIN_S)
            continue
        work.notes.answered()
        finding = _judged(work, job, file)
        match finding.verdict:
            case Verdict.RUNNING:
                doubtful_since = None
                work.notes.saw(job)
                await _show(desk, work, job.state)
            case _ if work.attempt.shown == "unknown" and not finding.is_proof:
                return  # the queue knows that already
            case _ if clock.now() - (doubtful_since or clock.now()) < finding.settle_s:
                doubtful_since = doubtful_since or clock.now()
            case _:
                await _conclude(desk, work, finding, job, file)
                return
        running = finding.verdict is Verdict.RUNNING
        await desk.monitor.wait(changed, WATCH_AGAIN_S if running else pause_s)
        pause_s = min(2 * pause_s, LOOK_AGAIN_S)


async def _taken_away(desk: Desk, work: Work) -> bool:
    if desk.outbox.refused is None or desk.outbox.refused[0] != work.attempt.id:
        return False
    code = desk.outbox.refused[1]
    if code == "transition_refused":
        return False  # one report came at the wrong moment; the attempt is still ours
    log.error("attempt_taken_away", attempt=work.attempt.id, code=code)
    if not desk.outbox.stale:  # else a new claim says whose it is
        await desk.journal.end(work.attempt.id)
    return True


async def _hear(desk: Desk, work: Work, mark: int) -> int:
    """Add the events since `mark` to what was seen, on the disk first where that changes something."""
    heard = desk.monitor.mark
    seen = work.attempt.seen
    for event in desk.monitor.events_since(mark):
        seen = seen.with_event(event, work.attempt.path)
    if seen != work.attempt.seen:
        work.attempt = await desk.journal.saw(work.attempt.id, seen)
    return heard


async def _facts(desk: Desk, work: Work) -> tuple[Job, StoredFile | None]:
    """What OctoPrint says: by push while it prints, which is final in nothing, and else by asking right now."""
    pushed = desk.monitor.snapshot.job
    if pushed is not None and pushed.prints(work.attempt.path) and work.attempt.shown != "starting":
        return pushed, None
    job = await desk.monitor.look()
    if job.prints(work.attempt.path):
        return job, None
    return job, await desk.octoprint.find(work.attempt.path)  # nothing is started by what is missing


async def _show(desk: Desk, work: Work, state: PrinterState) -> None:
    """Report a change that people want to know of while it prints."""
    kind = None
    if work.attempt.shown == "starting":
        kind = "started"
    elif work.attempt.shown == "printing" and state is PrinterState.PAUSED:
        kind = "paused"
    elif work.attempt.shown == "paused" and state in {PrinterState.PRINTING, PrinterState.FINISHING}:
        kind = "resumed"
    if kind is not None:
        work.attempt = await desk.report(work.attempt, kind)
        log.info("print_" + kind, attempt=work.attempt.id)
        work.tell()


def _judged(work: Work, job: Job, file: StoredFile | None) -> Finding:
    attempt = work.attempt
    was_printing = attempt.seen.started or attempt.state is Step.PRINTING or attempt.shown in {"printing", "paused"}
    return judge(
        attempt.path,
        job=job,
        file=file,
        seen=attempt.seen,
        was_printing=was_printing,
        cancel_asked=attempt.cancel_asked,
    )


async def _conclude(desk: Desk, work: Work, finding: Finding, job: Job, file: StoredFile | None) -> None:
    trace = None
    if finding.reason == NOT_DECIDABLE:
        trace = await desk.octoprint.log_trace(work.attempt.path)
        finding = (trace and by_log(trace, cancel_asked=work.attempt.cancel_asked)) or finding
    kind = _OUTCOMES.get(finding.verdict, "unknown")
    evidence = work.notes.evidence(work.attempt, job=job, file=file, trace=trace)
    work.attempt = await desk.report(
        work.attempt, kind, reason=finding.reason, detail=work.notes.detail(finding, trace), evidence=evidence
    )
    log.info("print_ended", attempt=work.attempt.id, outcome=kind, reason=finding.reason)
