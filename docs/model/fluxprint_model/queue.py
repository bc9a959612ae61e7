"""The queue's part of the protocol: its transactions as pure functions on an immutable state.

Each mirrors a function of `fluxprint_queue` (named in its docstring), check by check and in the same order; states and
transitions are the service's own tables. A refusal is raised, and then nothing has changed, as in a transaction.
"""

from collections.abc import Collection

from fluxprint_model.plants import Plant
from fluxprint_model.tables import Attempt, Bed, Command, Given, Job, Queue, Refused, Rules
from fluxprint_queue.attempts.schemas import Resolution
from fluxprint_queue.attempts.states import (
    ENDED,
    LIVE,
    PERMITTED,
    REPORTED_STATE,
    TRANSITIONS,
    AttemptState,
    ReportKind,
)
from fluxprint_queue.commands.states import CommandKind, CommandState
from fluxprint_queue.jobs.states import CLAIMABLE, JobState, job_state
from fluxprint_queue.jobs.states import ENDED as JOB_ENDED

# -- what people do ------------------------------------------------------------------------------------------------


def create(queue: Queue, *, copies: int, priority: int = 50, printer: int = -1) -> Queue:
    """`jobs.service.create`"""
    return queue._replace(jobs=(*queue.jobs, Job(copies, copies, priority=priority, printer=printer)))


def cancel(queue: Queue, rules: Rules, number: int) -> Queue:
    """`jobs.service.cancel`"""
    job = queue.jobs[number]
    if job.state == JobState.CANCELLED:
        return queue
    if job.state in JOB_ENDED:
        raise Refused("job_ended")
    queue = _cancel_claims(_with_job(queue, number, _cancel_requested(job)), number)
    for attempt in _of_job(queue, number, PERMITTED - {AttemptState.UNKNOWN}):
        if Plant.CANCEL_WITHOUT_ASKING in rules.plants:
            queue = _move(queue, attempt, AttemptState.CANCELLED)
        else:
            queue = _give(queue, attempt, CommandKind.CANCEL)
    return _settle(queue, number)


def order(queue: Queue, number: int, kind: CommandKind) -> Queue:
    """`jobs.service.order`: pause or resume."""
    fitting = {AttemptState.PRINTING} if kind is CommandKind.PAUSE else {AttemptState.PAUSED}
    found = _of_job(queue, number, fitting)
    if not found:
        raise Refused("not_printing")
    for attempt in found:
        queue = _give(queue, attempt, kind)
    return queue


def resolve(
    queue: Queue,
    number: int,
    outcome: Resolution,
    *,
    bed_is_clear: bool,
    abandoned: bool,
    permit_usable: bool = False,
) -> Queue:
    """`attempts.resolution.resolve`; `abandoned` says that the printer was silent for long, `permit_usable` that its
    permit has not run out."""
    attempt = queue.attempts[number]
    lies_there = queue.beds[attempt.printer].attempt == number
    if attempt.resolved is None:
        _check_open(attempt, abandoned=abandoned, permit_usable=permit_usable)
        if bed_is_clear and not lies_there:
            raise Refused("bed_changed")
        queue = _resolved(queue, number, outcome)
    elif attempt.resolved != outcome:
        raise Refused("attempt_resolved")
    return _with_bed(queue, attempt.printer, clear=True, attempt=-1) if bed_is_clear and lies_there else queue


def _check_open(attempt: Attempt, *, abandoned: bool, permit_usable: bool) -> None:
    if attempt.state in ENDED:
        raise Refused("attempt_ended")
    if attempt.state != AttemptState.UNKNOWN and not (abandoned and attempt.state in PERMITTED):
        raise Refused("transition_refused")
    if permit_usable and not attempt.started:
        raise Refused("transition_refused")


def _resolved(queue: Queue, number: int, outcome: Resolution) -> Queue:
    printed = outcome is Resolution.PRINTED
    queue = _move(queue, number, AttemptState.COMPLETED if printed else AttemptState.FAILED)
    queue = _with_attempt(queue, number, queue.attempts[number]._replace(resolved=outcome))
    job = queue.attempts[number].job
    match outcome:
        case Resolution.PRINTED:
            queue = _count(queue, number)
        case Resolution.FAILED_REQUEUE:
            queue = _with_job(queue, job, _reopened(queue.jobs[job]))
        case Resolution.FAILED_DROP:
            queue = _with_job(queue, job, queue.jobs[job]._replace(dropped=queue.jobs[job].dropped + 1))
    return _settle(_cancel_claims(_end_commands(queue, number), job), job)


def bed_cleared(queue: Queue, printer: int, *, attempt: int, version: int | None) -> Queue:
    """`printers.service.bed_cleared`; a negative `attempt` is none of ours, and then `version` has to be told."""
    bed = queue.beds[printer]
    if bed.attempt != attempt or ((version is not None or attempt < 0) and version != bed.version):
        raise Refused("bed_changed")
    if _live_on(queue, printer, PERMITTED):
        raise Refused("printer_busy")
    return queue if bed.clear else _with_bed(queue, printer, clear=True, attempt=-1)


# -- what bridges do -----------------------------------------------------------------------------------------------


def claim(
    queue: Queue, rules: Rules, printer: int, journal: int, *, raced: bool = False, ready: bool = False
) -> tuple[Queue, Given | None]:
    """`attempts.service.claim`; `raced`: another claim's attempt was not seen, which only the index forbids.

    `ready`: what is staged is what the claim takes, and its permit comes with it. By the rules of `permit`: that one
    statement of the service makes both changes is seen nowhere.
    """
    permitted = False
    live = _live_on(queue, printer, LIVE)
    if live and not (raced and Plant.SECOND_LIVE_ATTEMPT in rules.plants):
        number = live[0]
        held = queue.attempts[number]
        queue = _with_attempt(queue, number, held._replace(fence=held.fence + 1, lease=True))
    else:
        chosen = _best_job(queue, printer)
        blind = ready and Plant.GRANT_IGNORES_BED in rules.plants
        if chosen is None or not (queue.beds[printer].clear or blind):
            return queue, None
        number = len(queue.attempts)
        job = queue.jobs[chosen]
        attempt = Attempt(chosen, _free_copy(queue, chosen), printer, journal)
        queue = queue._replace(attempts=(*queue.attempts, attempt))
        queue = _settle(_with_job(queue, chosen, job._replace(copies_open=job.copies_open - 1)), chosen)
        if ready:
            if blind:
                queue = _with_bed(queue, printer, clear=True, attempt=-1)
            queue = permit(queue, rules, number, fence=attempt.fence, journal=journal)
            permitted = True
    held = queue.attempts[number]
    return queue, Given(number, held.state, held.fence, held.journal == journal, permitted)


def renew(queue: Queue, rules: Rules, number: int, fence: int) -> Queue:
    """`attempts.service.renew_lease`"""
    attempt = queue.attempts[number]
    _check_holder(rules, attempt, fence)
    if attempt.state == AttemptState.CLAIMED and not attempt.lease:
        raise Refused("lease_expired")
    return _with_attempt(queue, number, attempt._replace(lease=True))


def permit(queue: Queue, rules: Rules, number: int, *, fence: int, journal: int) -> Queue:
    """`attempts.service.permit`, on a server and a printer that are switched on."""
    attempt = queue.attempts[number]
    job = queue.jobs[attempt.job]
    _check_holder(rules, attempt, fence)
    if attempt.state not in (AttemptState.CLAIMED, AttemptState.STARTING):
        raise Refused("transition_refused")
    if attempt.journal != journal and Plant.OTHER_JOURNAL_PRESSES not in rules.plants:
        raise Refused("journal_mismatch")
    if job.cancel_requested or job.failed:
        raise Refused("job_cancelled")
    bed = queue.beds[attempt.printer]
    if attempt.state == AttemptState.STARTING:
        if bed.attempt != number:
            raise Refused("bed_occupied")
        return queue
    if not attempt.lease:
        raise Refused("lease_expired")
    if not bed.clear and Plant.PERMIT_IGNORES_BED not in rules.plants:
        raise Refused("bed_occupied")
    return _with_bed(_move(queue, number, AttemptState.STARTING), attempt.printer, clear=False, attempt=number)


def report(
    queue: Queue, rules: Rules, number: int, *, fence: int, report_id: int, kind: ReportKind, fault: bool = False
) -> Queue:
    """`attempts.service.report`; `fault` says that the reason of a release lies in the printer or the file."""
    attempt = queue.attempts[number]
    if (number, report_id) in queue.taken:
        return queue
    queue = queue._replace(taken=queue.taken | {(number, report_id)})
    target = REPORTED_STATE[kind]
    if attempt.state == target:
        return queue
    if attempt.fence != fence and Plant.FENCE_UNCHECKED not in rules.plants:
        raise Refused("fence_stale")
    if attempt.state in ENDED:
        raise Refused("attempt_ended")
    return _after_move(_move(queue, number, target), rules, number, fault=fault)


def foreign_print(queue: Queue, rules: Rules, printer: int) -> Queue:
    """`printers.service.foreign_print`"""
    printing = {AttemptState.PRINTING, AttemptState.PAUSED}
    ignored = PERMITTED if Plant.HAND_PRINT_IGNORED in rules.plants else printing
    return queue if _live_on(queue, printer, ignored) else _with_bed(queue, printer, clear=False, attempt=-1)


def command_result(queue: Queue, number: int, state: CommandState) -> Queue:
    """`commands.service.finish`"""
    command = queue.commands[number]
    return _with_command(queue, number, state) if command.state == CommandState.PENDING else queue


# -- what time does ------------------------------------------------------------------------------------------------


def lease_runs_out(queue: Queue, number: int) -> Queue:
    """The database's clock passes `lease_expires_at`."""
    return _with_attempt(queue, number, queue.attempts[number]._replace(lease=False))


def release_expired(queue: Queue, rules: Rules, number: int) -> Queue:
    """`attempts.service.release_expired`"""
    attempt = queue.attempts[number]
    bug = Plant.LEASE_ENDS_PERMITTED in rules.plants and attempt.state == AttemptState.STARTING
    if attempt.lease or not (attempt.state == AttemptState.CLAIMED or bug):
        return queue
    return _after_move(_move(queue, number, AttemptState.RELEASED), rules, number, fault=False)


def expire_command(queue: Queue, number: int) -> Queue:
    """`commands.service.expire`"""
    return command_result(queue, number, CommandState.EXPIRED)


# -- how -----------------------------------------------------------------------------------------------------------


def live_attempts(queue: Queue, printer: int) -> list[int]:
    """The live attempts of a printer: there should be one at most."""
    return _live_on(queue, printer, LIVE)


def _move(queue: Queue, number: int, to: AttemptState) -> Queue:
    attempt = queue.attempts[number]
    if to not in TRANSITIONS[attempt.state]:
        raise Refused("transition_refused")
    started = attempt.started or to is AttemptState.PRINTING
    return _with_attempt(queue, number, attempt._replace(state=to, started=started))


def _after_move(queue: Queue, rules: Rules, number: int, *, fault: bool) -> Queue:
    attempt = queue.attempts[number]
    if attempt.state in ENDED:
        queue = _end_commands(queue, number)
    queue = _count(queue, number)
    if attempt.state == AttemptState.RELEASED and fault:
        job = queue.jobs[attempt.job]
        job = job._replace(releases=job.releases + 1)
        queue = _with_job(queue, attempt.job, _given_up(job) if job.releases >= rules.max_releases else job)
    return _settle(_cancel_claims(queue, attempt.job), attempt.job)


def _count(queue: Queue, number: int) -> Queue:
    """`jobs.settlement.count`"""
    attempt = queue.attempts[number]
    job = queue.jobs[attempt.job]
    match attempt.state:
        case AttemptState.COMPLETED:
            job = job._replace(completed=job.completed + 1, releases=0)
        case AttemptState.RELEASED:
            job = _reopened(job)
        case AttemptState.FAILED:
            job = _given_up(job)
        case AttemptState.CANCELLED:
            job = _cancel_requested(job)
    return _with_job(queue, attempt.job, job)


def _settle(queue: Queue, number: int) -> Queue:
    """`jobs.settlement.settle`"""
    job = queue.jobs[number]
    state = job_state(
        copies=job.copies,
        completed=job.completed,
        live={a.state for a in queue.attempts if a.job == number and a.state in LIVE},
        cancel_requested=job.cancel_requested,
        failed=job.failed or job.completed + job.dropped == job.copies,
    )
    return _with_job(queue, number, job._replace(state=state))


def _cancel_claims(queue: Queue, number: int) -> Queue:
    job = queue.jobs[number]
    if job.cancel_requested or job.failed:
        for attempt in _of_job(queue, number, {AttemptState.CLAIMED}):
            queue = _move(queue, attempt, AttemptState.CANCELLED)
    return queue


def _end_commands(queue: Queue, number: int) -> Queue:
    """`commands.service.end_of_attempt`"""
    attempt = queue.attempts[number]
    for index, command in enumerate(queue.commands):
        if command.attempt == number and command.state == CommandState.PENDING:
            done = attempt.state == AttemptState.CANCELLED and command.kind == CommandKind.CANCEL
            queue = _with_command(queue, index, CommandState.SUCCEEDED if done else CommandState.FAILED)
    return queue


def _give(queue: Queue, attempt: int, kind: CommandKind) -> Queue:
    command = Command(attempt, kind)
    return queue if command in queue.commands else queue._replace(commands=(*queue.commands, command))


def _check_holder(rules: Rules, attempt: Attempt, fence: int) -> None:
    if attempt.fence != fence and Plant.FENCE_UNCHECKED not in rules.plants:
        raise Refused("fence_stale")
    if attempt.state in ENDED:
        raise Refused("attempt_ended")


def _best_job(queue: Queue, printer: int) -> int | None:
    fitting = [
        number
        for number, job in enumerate(queue.jobs)
        if job.state in CLAIMABLE and job.copies_open > 0 and job.printer in (-1, printer)
    ]
    return min(fitting, key=lambda number: (-queue.jobs[number].priority, number), default=None)


def _free_copy(queue: Queue, job: int) -> int:
    kept = LIVE | {AttemptState.COMPLETED}
    of_job = [attempt for attempt in queue.attempts if attempt.job == job]
    used = {a.copy for a in of_job if a.state in kept or a.resolved is Resolution.FAILED_DROP}
    return min(set(range(1, queue.jobs[job].copies + 1)) - used)


def _of_job(queue: Queue, job: int, states: Collection[AttemptState]) -> list[int]:
    return [number for number, a in enumerate(queue.attempts) if a.job == job and a.state in states]


def _live_on(queue: Queue, printer: int, states: Collection[AttemptState]) -> list[int]:
    return [number for number, a in enumerate(queue.attempts) if a.printer == printer and a.state in states]


def _reopened(job: Job) -> Job:
    return job if job.cancel_requested or job.failed else job._replace(copies_open=job.copies_open + 1)


def _given_up(job: Job) -> Job:
    return job._replace(copies_open=0, failed=True)


def _cancel_requested(job: Job) -> Job:
    return job._replace(copies_open=0, cancel_requested=True)


def _with_job(queue: Queue, number: int, job: Job) -> Queue:
    return queue._replace(jobs=(*queue.jobs[:number], job, *queue.jobs[number + 1 :]))


def _with_attempt(queue: Queue, number: int, attempt: Attempt) -> Queue:
    return queue._replace(attempts=(*queue.attempts[:number], attempt, *queue.attempts[number + 1 :]))


def _with_command(queue: Queue, number: int, state: CommandState) -> Queue:
    command = queue.commands[number]._replace(state=state)
    return queue._replace(commands=(*queue.commands[:number], command, *queue.commands[number + 1 :]))


def _with_bed(queue: Queue, printer: int, *, clear: bool, attempt: int) -> Queue:
    bed = Bed(clear, attempt, queue.beds[printer].version + 1)
    return queue._replace(beds=(*queue.beds[:printer], bed, *queue.beds[printer + 1 :]))
