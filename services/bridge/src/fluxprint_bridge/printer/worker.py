"""The main loop of one printer. It may be killed at any line: the journal, the queue and OctoPrint tell the rest."""

import asyncio
import contextlib

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.cloud.schemas import Assignment
from fluxprint_bridge.journal import Attempt, Step
from fluxprint_bridge.octoprint.errors import KeyRefused, OctoPrintError
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState
from fluxprint_bridge.printer.desk import Desk, Phase, Work
from fluxprint_bridge.printer.foreign import notice
from fluxprint_bridge.printer.lease import Lease, LeaseLost
from fluxprint_bridge.printer.outbox import FENCE_STALE
from fluxprint_bridge.printer.recovery import Next, attempt_of, next_step, print_path
from fluxprint_bridge.printer.starter import (
    NotReady,
    cancelled_before_start,
    never_started,
    permitted_until,
    start,
    until_idle,
)
from fluxprint_bridge.printer.transfer import TransferFailed, transfer
from fluxprint_bridge.printer.watcher import watch
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

IDLE_WAIT_S = 60.0  #: for a printer that goes offline after the claim; then another printer may have the job
MAX_BACKOFF_S = 30.0
MAX_FAULT_PAUSE_S = 60.0
REFUSED_PAUSE_S = 1.0
STAND_BACK_S = 30.0
MAX_STAND_BACK_S = 900.0
#: Refusals of a first permit after which another printer may have the job.
_GIVE_BACK = frozenset({"printing_disabled", "printer_disabled", "bed_occupied", "job_cancelled"})
#: Reasons of a release that lie in this printer or its file: the next claim is made later and later.
_FAULTS = frozenset({"transfer_failed", "file_rejected", "start_refused", "octoprint_refused", "bridge_storage_failed"})


class Worker:
    """Run `run()` under a supervisor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._failures = 0
        self._taken_over = 0
        self._faults = 0
        self._faulty_until = 0.0
        self._claimed_at = 0.0

    async def run(self) -> None:
        """Work for ever."""
        while True:
            record = await self._desk.journal.open_attempt(self._desk.printer_id)
            started = record is not None and record.state in {Step.STARTING, Step.PRINTING}
            if record is not None and started and not self._desk.outbox.stale:
                # The journal alone knows enough: watching goes on even without the cloud.
                await self._watch(Work(record, Phase.STARTED), mark=0)
            else:
                await self._ask(record)

    # -- asking for work ---------------------------------------------------------------------------------------------

    async def _ask(self, record: Attempt | None) -> None:
        """Claim what there is and do it, or wait for a reason to ask again."""
        desk = self._desk
        desk.bell.clear()
        await desk.outbox.emptied()
        if desk.outbox.stale:
            await self._stand_back()
        # No doorbell shortens this: each release rings one.
        await asyncio.sleep(max(0.0, self._faulty_until - clock.now()))
        job = desk.monitor.snapshot.job
        if not self._may_ask(record, job):
            await self._rest(desk.poll_s)
            return
        self._claimed_at = clock.now()
        try:
            assignment = await desk.api.claim(desk.printer_id, journal_id=desk.journal.journal_id)
        except CloudUnavailable as error:
            self._failures += 1
            log.warning("claim_failed", error=str(error)[:300])
            await self._rest(backoff_s(self._failures, cap_s=MAX_BACKOFF_S))
            return
        except CloudRefused as refused:
            log.error("claim_refused", code=refused.code)
            await self._rest(MAX_BACKOFF_S)
            return
        self._failures = 0
        busy = await self._disown(job, _id_of(assignment))
        await desk.journal.drop_reports(desk.printer_id, but_of=_id_of(assignment))
        to_tell = assignment and await desk.journal.refence(assignment.attempt.id, assignment.attempt.fence)
        desk.outbox.claimed()
        if to_tell:
            return  # first the queue hears what became of it
        if assignment is None:
            if record is not None:
                await desk.journal.end(record.id)
            await self._rest(desk.poll_s)
            return
        await self._take(assignment, busy=busy)

    def _may_ask(self, record: Attempt | None, job: Job | None) -> bool:
        """Nothing is claimed for a printer that can't print; an attempt that lives already is always asked for."""
        if self._desk.standing_back or self._desk.problem is not None or job is None:
            return False
        if record is not None or self._desk.outbox.stale:
            return True
        if job.state in ACTIVE:  # perhaps ours, of a journal that was lost
            return attempt_of(job.path) is not None and job.path not in self._desk.disowned
        return job.state is PrinterState.IDLE and self._desk.foreign_told.is_set()

    async def _disown(self, job: Job | None, given: str | None) -> bool:
        """Whether it prints a file that looks like ours, but of an attempt that the queue did not give us."""
        desk = self._desk
        if job is None or job.path is None or job.path in desk.disowned or attempt_of(job.path) == given:
            return False
        desk.disowned = {job.path}
        with contextlib.suppress(OctoPrintError):  # what was pushed may be older than the end of our last print
            job = await desk.monitor.look()
        if job.state not in ACTIVE or attempt_of(job.path) is None or job.path not in desk.disowned:
            return False
        await notice(desk, job.path)
        return True

    async def _stand_back(self) -> None:
        """Another process worked on this printer: let it, each time for longer, so that two do not chase each other."""
        self._desk.bell.clear()
        self._taken_over += 1
        pause_s = min(STAND_BACK_S * 2 ** min(self._taken_over - 1, 10), MAX_STAND_BACK_S)
        log.warning("fence_stale", hint="does another bridge use this token?", pause_s=pause_s)
        await self._rest(pause_s)

    async def _rest(self, timeout_s: float) -> None:
        """Wait for the doorbell, for another state of the printer, or for `timeout_s`."""
        desk = self._desk
        before = _state_of(desk)
        ends_at = clock.now() + timeout_s
        while not desk.bell.is_set() and _state_of(desk) == before and (left_s := ends_at - clock.now()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await until_first(desk.bell.wait(), desk.monitor.changed.wait())

    # -- doing it ----------------------------------------------------------------------------------------------------

    async def _take(self, assignment: Assignment, *, busy: bool) -> None:
        """Go on with an assignment wherever it stands."""
        desk, given = self._desk, assignment.attempt
        known = await desk.journal.attempt(given.id)
        step = next_step(
            journal=known.state if known is not None else None, queue=given.state, same_journal=given.same_journal
        )
        log.info("assigned", attempt=given.id, queue=given.state, journal=known.state if known else None, next=step)
        state = Step.STARTING if step is Next.LOOK else Step.CLAIMED
        attempt = await desk.journal.hold(
            attempt_id=given.id,
            printer_id=desk.printer_id,
            fence=given.fence,
            path=print_path(given.id, assignment.file.extension),
            state=Step.UNKNOWN if given.state == "unknown" else state,
            shown=given.state,
        )
        if step is Next.PERMIT and not await never_started(desk, attempt.path):
            log.error("journal_is_older_than_octoprint", attempt=given.id)
            step, attempt = Next.LOOK, await desk.journal.intend(given.id)
        work = Work(attempt)
        if known is not None and known.state is Step.ENDED:  # the queue refused its end: no haste, it may do so again
            await asyncio.sleep(REFUSED_PAUSE_S)
        match step:
            case Next.TRANSFER if busy:
                await self._release(work, "printer_busy", "The printer prints something that is not this job.")
            case Next.RELEASE:
                await self._release(work, "journal_lost", "The bridge lost its journal before the start.")
            case Next.LOOK:
                work.phase = Phase.STARTED
                # Of an unknown outcome only what happens from now on can say more: a printer is switched off one day.
                await self._watch(work, mark=desk.monitor.mark if work.attempt.state is Step.UNKNOWN else 0)
                if work.attempt.state is Step.UNKNOWN:
                    await self._rest(desk.poll_s)
            case _:
                await self._print(work, assignment, permitted=step is Next.PERMIT)

    async def _print(self, work: Work, assignment: Assignment, *, permitted: bool) -> None:
        desk = self._desk
        desk.take_in_hand(work)
        mark = desk.monitor.mark
        try:
            permit_ends_at = 0.0
            if permitted:
                work.permit_asked = True  # by the process that was here before
            else:
                permit_ends_at = await self._prepare(work, assignment)
            pressed = await start(desk, work, permit_ends_at)
        except (NotReady, TransferFailed) as failed:
            await self._release(work, failed.reason, str(failed))
        except KeyRefused as refused_key:
            desk.doubt_key(refused_key)
            await self._release(work, "octoprint_refused", str(refused_key))
        except LeaseLost as lost:
            log.warning("lease_lost", attempt=work.attempt.id, reason=str(lost))
            if lost.code == FENCE_STALE:
                await self._stand_back()
        except CloudRefused as refused:
            await self._refused(work, refused)
        except asyncio.CancelledError:
            if not work.permit_asked:
                await self._release(work, "bridge_stopping", "The bridge was stopped before the start.")
            raise
        else:
            self._faults = 0
            if pressed:
                await self._watch(work, mark=mark)
        finally:
            self._put_down(work)

    async def _prepare(self, work: Work, assignment: Assignment) -> float:
        """Transfer the file and get the permit while the lease is kept. Returns when the permit ends."""
        desk, given = self._desk, assignment.attempt
        work.lease = Lease(
            desk.api,
            given.id,
            fence=given.fence,
            asked_at=self._claimed_at,
            lasts_s=given.lease_expires_in_s or 0.0,
        )

        async def prepared() -> float:
            await transfer(desk.api, desk.octoprint, assignment, spool=desk.spool, to=work.attempt.path)
            await until_idle(desk, work, timeout_s=IDLE_WAIT_S)
            return await permitted_until(desk, work)

        try:
            return await until_first(prepared(), work.lease.keep())
        finally:
            work.lease = None

    async def _refused(self, work: Work, refused: CloudRefused) -> None:
        """The queue refused the file or the permit, so nothing was started."""
        permitted = work.attempt.shown == "starting"
        if permitted and refused.code == "job_cancelled":
            await cancelled_before_start(self._desk, work)
            return
        if not permitted and refused.code in _GIVE_BACK:
            await self._release(work, refused.code, f"The permit was refused: {refused}")
            return
        log.warning("attempt_refused", attempt=work.attempt.id, code=refused.code)
        if refused.code == FENCE_STALE:
            await self._stand_back()
        else:
            await self._rest(REFUSED_PAUSE_S)

    async def _release(self, work: Work, reason: str, detail: str) -> None:
        log.warning("attempt_released", attempt=work.attempt.id, reason=reason, detail=detail)
        await self._desk.report(work.attempt, "released", reason=reason, detail=detail)
        if reason in _FAULTS:
            self._faults += 1
            self._faulty_until = clock.now() + backoff_s(self._faults + 2, cap_s=MAX_FAULT_PAUSE_S)

    async def _watch(self, work: Work, *, mark: int) -> None:
        self._desk.take_in_hand(work)
        try:
            await watch(self._desk, work, mark=mark)
        finally:
            self._put_down(work)
        if not self._desk.outbox.stale:
            self._taken_over = 0
            if self._desk.outbox.refused is not None:
                await self._rest(REFUSED_PAUSE_S)

    def _put_down(self, work: Work) -> None:
        self._desk.work = None
        work.tell()


def _id_of(assignment: Assignment | None) -> str | None:
    return assignment.attempt.id if assignment is not None else None


def _state_of(desk: Desk) -> tuple[PrinterState, str | None] | None:
    job = desk.monitor.snapshot.job
    return (job.state, job.path) if job is not None else None
