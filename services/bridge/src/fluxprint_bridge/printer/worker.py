"""The main loop of one printer. It may be killed at any line: the journal, the queue and OctoPrint tell the rest."""

import asyncio
import contextlib

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable
from fluxprint_bridge.cloud.schemas import Assignment
from fluxprint_bridge.foreign_print import OVER, RUNNING
from fluxprint_bridge.journal import Attempt, Step
from fluxprint_bridge.octoprint.errors import KeyRefused, OctoPrintError
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState
from fluxprint_bridge.printer.asking import Answer, Offer, Withdrawn, ask
from fluxprint_bridge.printer.desk import Desk, Phase, Work
from fluxprint_bridge.printer.foreign import notice, tell_what_is_noted
from fluxprint_bridge.printer.lease import Lease, LeaseLost
from fluxprint_bridge.printer.notes import Notes
from fluxprint_bridge.printer.outbox import ATTEMPT_ENDED, FENCE_STALE
from fluxprint_bridge.printer.recovery import Next, attempt_of, next_step, print_path
from fluxprint_bridge.printer.staging import Glance, bring
from fluxprint_bridge.printer.starter import (
    NotReady,
    cancelled_before_start,
    never_started,
    permitted_until,
    start,
    until_idle,
)
from fluxprint_bridge.printer.transfer import PRINTED_BY_HAND, TransferFailed
from fluxprint_bridge.printer.watcher import watch
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

IDLE_WAIT_S = 60.0  #: for a printer that goes offline after the claim; then another printer may have the job
MAX_BACKOFF_S = 30.0
MAX_RELEASE_PAUSE_S = 60.0
REFUSED_PAUSE_S = 1.0
LEFT_ALONE_S = 0.1  #: after start was pressed: a question to OctoPrint right then holds the start itself up
STAND_BACK_S = 30.0
MAX_STAND_BACK_S = 900.0
#: Refusals of a first permit after which another printer may have the job.
_GIVE_BACK = frozenset({"printing_disabled", "printer_disabled", "bed_occupied", "job_cancelled"})
#: Reasons of a release that lie in this printer or its file. After any the next claim is made later and later; after
#: these it is at once some time away.
_FAULTS = frozenset({"transfer_failed", "file_rejected", "start_refused", "octoprint_refused", "bridge_storage_failed"})


class Worker:
    """Run `run()` under a supervisor."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._failures = 0
        self._taken_over = 0
        self._stood_back = False  #: since it asked last
        self._releases = 0  #: in a row, without a start in between
        self._not_before = 0.0
        self._claimed_at = 0.0

    async def run(self) -> None:
        """Work for ever."""
        while True:
            record = await self._desk.journal.open_attempt(self._desk.printer_id)
            started = record is not None and record.state in {Step.STARTING, Step.PRINTING}
            if record is not None and started and not self._desk.outbox.stale:
                # The journal alone knows enough: watching goes on even without the cloud.
                await self._watch(Work(record, Phase.STARTED, notes=Notes(record)), mark=0)
            else:
                await self._ask(record)

    # -- asking for work ---------------------------------------------------------------------------------------------

    async def _ask(self, record: Attempt | None) -> None:
        """Claim what there is and do it, or wait for a reason to ask again."""
        desk = self._desk
        desk.bell.clear()
        await desk.outbox.emptied()
        await tell_what_is_noted(desk)
        if desk.outbox.stale and not self._stood_back:
            await self._stand_back()
            self._stood_back = True
        # No doorbell shortens this: each release rings one.
        await asyncio.sleep(max(0.0, self._not_before - clock.now()))
        job = desk.monitor.snapshot.job
        if not self._may_ask(record, job):
            await self._rest(desk.poll_s)
            return
        self._claimed_at, self._stood_back = clock.now(), False
        try:
            answer = await ask(desk, record, adopt_only=job is None or job.state is not PrinterState.IDLE)
        except Withdrawn as withdrawn:
            log.debug("claim_withdrawn", reason=str(withdrawn))
        except CloudUnavailable as error:
            self._failures += 1
            log.warning("claim_failed", error=str(error)[:300])
            await self._rest(backoff_s(self._failures, cap_s=MAX_BACKOFF_S))
        except CloudRefused as refused:
            log.error("claim_refused", code=refused.code)
            await self._rest(MAX_BACKOFF_S)
        else:
            self._failures = 0
            await self._answered(answer, record, job)

    async def _answered(self, answer: Answer, record: Attempt | None, job: Job | None) -> None:
        """Do what the queue said, once it has heard what it has to hear first."""
        desk, assignment, glance = self._desk, answer.assignment, answer.glance
        if glance is not None and attempt_of(glance.path) != _id_of(assignment) and glance.printed_by_hand:
            await notice(desk, glance.path, run=OVER)  # first: the permit is refused then
        told_nothing, desk.asked, desk.nothing_to_claim = desk.nothing_to_claim, True, assignment is None
        if assignment is not None and answer.offer is not None and answer.permit_ends_at is not None:
            await self._start(assignment, answer.offer, answer.permit_ends_at)
            return
        busy = await self._disown(job, _id_of(assignment))
        await desk.journal.drop_reports(desk.printer_id, but_of=_id_of(assignment))
        if assignment is not None and not assignment.attempt.same_journal and assignment.attempt.state != "claimed":
            await desk.journal.drop_releases(assignment.attempt.id)  # another bridge has had the permit since
        to_tell = assignment and await desk.journal.refence(assignment.attempt.id, assignment.attempt.fence)
        desk.outbox.claimed()
        if to_tell:
            return  # first the queue hears what became of it
        if assignment is None:
            if record is not None:
                await desk.journal.end(record.id)
            if told_nothing and not answer.waited:
                await self._rest(desk.poll_s)
            return
        await self._take(assignment, busy=busy, glance=glance)

    def _may_ask(self, record: Attempt | None, job: Job | None) -> bool:
        """Nothing new is claimed for a printer that can't print; an attempt that lives already is always asked for.

        One may live that only a lost journal knew of: that is asked once, and when something of ours seems to print.
        """
        desk = self._desk
        if desk.standing_back or desk.problem is not None or job is None:
            return False
        if record is not None or desk.outbox.stale:
            return True
        if job.state is PrinterState.IDLE:
            return desk.foreign_told.is_set()
        if not desk.asked:
            return True
        return job.state in ACTIVE and attempt_of(job.path) is not None and job.path not in desk.disowned

    async def _disown(self, job: Job | None, given: str | None) -> bool:
        """Whether it prints a file that looks like ours, but of an attempt that the queue did not give us."""
        desk = self._desk
        if job is None or job.path is None or job.state not in ACTIVE or job.path in desk.disowned:
            return False
        if attempt_of(job.path) in (None, given):
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
        """Wait for the doorbell, for another state of the printer, till a foreign print is told, or for `timeout_s`."""
        desk = self._desk
        before, told = desk.state, desk.foreign_told.is_set()
        ends_at = clock.now() + timeout_s
        while not desk.bell.is_set() and desk.state == before and (left_s := ends_at - clock.now()) > 0:
            if desk.foreign_told.is_set() and not told:
                return
            telling = [] if told else [desk.foreign_told.wait()]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await until_first(desk.bell.wait(), desk.monitor.changed.wait(), *telling)

    # -- doing it ----------------------------------------------------------------------------------------------------

    async def _take(self, assignment: Assignment, *, busy: bool, glance: Glance | None) -> None:
        """Go on with an assignment wherever it stands."""
        desk, given = self._desk, assignment.attempt
        known = await desk.journal.attempt(given.id)
        journal = known.state if known is not None else None
        if journal is None and await desk.shelf.of_attempt(given.id) is not None:
            journal = Step.CLAIMED  # a claim took what is staged, and its answer was lost: the page stands for it
        step = next_step(journal=journal, queue=given.state, same_journal=given.same_journal)
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
        work = Work(attempt, notes=Notes(known))
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
                await self._print(work, assignment, permitted=step is Next.PERMIT, glance=glance)

    async def _start(self, assignment: Assignment, offer: Offer, permit_ends_at: float) -> None:
        """Start what was looked at before the claim, with the permit that came with it."""
        desk, given = self._desk, assignment.attempt
        log.info("assigned", attempt=given.id, queue=given.state, next="start")
        # Assignment and intent are one page where start can be pressed: one sync less before it.
        usable = clock.now() < permit_ends_at and desk.foreign_prints == offer.foreign_prints
        try:
            attempt = await desk.journal.hold(
                attempt_id=given.id,
                printer_id=desk.printer_id,
                fence=given.fence,
                path=offer.file.path,
                state=Step.STARTING if usable else Step.CLAIMED,
                shown=given.state,
            )
        except asyncio.CancelledError:
            await desk.journal.withdraw(given.id)  # it is written all the same
            raise
        desk.outbox.claimed()
        work = Work(attempt, permit_asked=True, foreign_prints=offer.foreign_prints)
        await self._print(work, assignment, permitted=False, permit_ends_at=permit_ends_at)

    async def _print(
        self,
        work: Work,
        assignment: Assignment,
        *,
        permitted: bool,
        glance: Glance | None = None,
        permit_ends_at: float = 0.0,
    ) -> None:
        desk = self._desk
        desk.take_in_hand(work, new=not permitted)
        mark = desk.monitor.mark
        try:
            if permitted:
                # By the process that was here before; the queue knows of the prints since.
                work.permit_asked, work.foreign_prints = True, desk.foreign_prints
            elif not work.permit_asked:
                permit_ends_at = await self._prepare(work, assignment, glance)
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
            await self._stopped(work)
            raise
        else:
            if pressed:
                self._releases = 0
                await asyncio.sleep(LEFT_ALONE_S)
                await self._watch(work, mark=mark)
        finally:
            self._put_down(work)

    async def _prepare(self, work: Work, assignment: Assignment, glance: Glance | None) -> float:
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
            early = await bring(desk, work, assignment, glance)
            looked_at = await until_idle(desk, work, timeout_s=IDLE_WAIT_S, early=early)
            return await permitted_until(desk, work, looked_at=looked_at)

        try:
            return await until_first(prepared(), work.lease.keep())
        finally:
            work.lease = None

    async def _stopped(self, work: Work) -> None:
        """The bridge was stopped, perhaps before the start."""
        if not work.permit_asked:
            await self._release(work, "bridge_stopping", "The bridge was stopped before the start.")
        elif work.attempt.state is Step.STARTING and not work.pressed:
            await self._desk.journal.withdraw(work.attempt.id)  # an intent that came with the claim

    async def _refused(self, work: Work, refused: CloudRefused) -> None:
        """The queue refused the file or the permit, so nothing was started."""
        permitted = work.attempt.shown == "starting"
        if permitted and refused.code == "job_cancelled":
            await cancelled_before_start(self._desk, work)
            return
        if refused.code in _GIVE_BACK and (not permitted or refused.code == "bed_occupied"):
            await self._release(work, refused.code, f"The permit was refused: {refused}")
            return
        log.warning("attempt_refused", attempt=work.attempt.id, code=refused.code)
        if refused.code == FENCE_STALE:
            await self._stand_back()
        else:
            await self._rest(REFUSED_PAUSE_S)

    async def _release(self, work: Work, reason: str, detail: str) -> None:
        log.warning("attempt_released", attempt=work.attempt.id, reason=reason, detail=detail)
        if reason == PRINTED_BY_HAND:
            await notice(self._desk, work.attempt.path, run=OVER)  # first: the bed is not clear
        await self._desk.report(work.attempt, "released", reason=reason, detail=detail)
        self._releases += 1
        failures = self._releases + (2 if reason in _FAULTS else 0)
        self._not_before = clock.now() + backoff_s(failures, cap_s=MAX_RELEASE_PAUSE_S)

    async def _watch(self, work: Work, *, mark: int) -> None:
        desk = self._desk
        desk.take_in_hand(work)
        try:
            await watch(desk, work, mark=mark)
        finally:
            self._put_down(work)
        await desk.outbox.emptied()
        if desk.outbox.stale:
            return
        self._taken_over = 0
        if desk.outbox.refused is not None:
            if desk.outbox.refused[1] == ATTEMPT_ENDED:  # a person decided before its end: the bed is not clear
                job = desk.monitor.snapshot.job
                on = job is not None and job.prints(work.attempt.path)
                await notice(desk, work.attempt.path, run=RUNNING if on else OVER)
            await self._rest(REFUSED_PAUSE_S)

    def _put_down(self, work: Work) -> None:
        self._desk.work = None
        work.tell()


def _id_of(assignment: Assignment | None) -> str | None:
    return assignment.attempt.id if assignment is not None else None
