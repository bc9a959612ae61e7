"""Every move of the world: bridges, the printer, people, the network and time."""

import contextlib
from collections.abc import Iterator

from fluxprint_model import queue as rules_of
from fluxprint_model.bridge import Process
from fluxprint_model.plants import Plant
from fluxprint_model.printer import Kind, Move, ends, printer_moves, time_passes
from fluxprint_model.process import crashed
from fluxprint_model.state import BY_HAND, NOTHING, Message, Pc, State, World, canonical, put, spend
from fluxprint_model.tables import Refused
from fluxprint_queue.attempts.schemas import Resolution
from fluxprint_queue.attempts.states import ENDED, PERMITTED, AttemptState
from fluxprint_queue.commands.states import CommandState
from fluxprint_queue.jobs.states import ENDED as JOB_ENDED
from fluxprint_queue.jobs.states import JobState


def moves(world: World, state: State) -> Iterator[Move]:
    """Everything that can happen next; nothing happens after a promise was broken, or where nothing can start."""
    if state.proof.broken or _is_over(world, state):
        return
    for move in _all(world, state):
        after = canonical(move.state)
        if after != state:
            yield Move(move.text, after, move.kind)


def _is_over(world: World, state: State) -> bool:
    """No attempt lives or will, nobody is about to press start, and nothing prints."""
    queue = state.queue
    idle = state.octo.printing == NOTHING == state.octo.late_start
    return (
        idle
        and all(attempt.state in ENDED for attempt in queue.attempts)
        and (len(queue.attempts) == world.attempts or all(job.state in JOB_ENDED for job in queue.jobs))
        and all(bridge.pc in (Pc.DOWN, Pc.ASK, Pc.WATCH) for bridge in state.bridges)
    )


def _all(world: World, state: State) -> Iterator[Move]:
    for number in range(len(state.bridges)):
        yield from Process(world, state, number).moves()
    yield from printer_moves(world, state)
    yield from _network(world, state)
    yield from _time(world, state)
    yield from _people(world, state)
    yield from _people_at_printer(world, state)
    if state.left.copies and state.bridges[0].pc != Pc.DOWN:
        after = spend(put(state, 1, crashed(state.bridges[0])), "copies")
        yield Move("somebody copies the folder of bridge A for bridge B", after, Kind.FAULT)


# -- the network ---------------------------------------------------------------------------------------------------


def _network(world: World, state: State) -> Iterator[Move]:
    for index, message in enumerate(state.late):
        rest = state._replace(late=(*state.late[:index], *state.late[index + 1 :]))
        yield Move(f"a late {message.what} is lost for good", rest)
        with contextlib.suppress(Refused):  # then it is as if it was lost
            yield Move(f"a late {message.what} arrives", _arrive(world, rest, message))


def _arrive(world: World, state: State, message: Message) -> State:
    queue, rules = state.queue, world.rules()
    number, fence = message.attempt, message.fence
    match message.what:
        case "claim":
            queue, _ = rules_of.claim(queue, rules, 0, message.journal)
            if len(queue.attempts) > world.attempts:
                return state
        case "ready claim":
            queue, _ = rules_of.claim(queue, rules, 0, message.journal, ready=True)
            if len(queue.attempts) > world.attempts:
                return state
        case "permit":
            queue = rules_of.permit(queue, rules, number, fence=fence, journal=message.journal)
        case "report" if message.report is not None:
            pending = message.report
            queue = rules_of.report(
                queue, rules, number, fence=fence, report_id=pending.report_id, kind=pending.kind, fault=pending.fault
            )
        case "hand":
            queue = rules_of.foreign_print(queue, rules, 0)
        case "bed cleared":
            queue = rules_of.bed_cleared(queue, 0, attempt=number, version=message.version)
    return state._replace(queue=queue)


# -- time ----------------------------------------------------------------------------------------------------------


def _time(world: World, state: State) -> Iterator[Move]:
    for number, attempt in enumerate(state.queue.attempts):
        if attempt.lease and attempt.state == AttemptState.CLAIMED and state.left.leases:
            after = state._replace(queue=rules_of.lease_runs_out(state.queue, number))
            yield Move(f"the lease of attempt {number} runs out", spend(after, "leases"), Kind.FAULT)
        planted = Plant.LEASE_ENDS_PERMITTED in world.plants and attempt.state == AttemptState.STARTING
        if not attempt.lease or planted:
            queue = state.queue._replace(
                attempts=tuple(a._replace(lease=a.lease and n != number) for n, a in enumerate(state.queue.attempts))
            )
            after = state._replace(queue=rules_of.release_expired(queue, world.rules(), number))
            if after.queue != queue:
                yield Move(f"the queue releases attempt {number}, whose lease ran out", after)
    for index, command in enumerate(state.queue.commands):
        if command.state == CommandState.PENDING:
            after = state._replace(queue=rules_of.expire_command(state.queue, index))
            yield Move("the cancel's deadline passes", after, Kind.FAULT)


# -- people --------------------------------------------------------------------------------------------------------


def _people(world: World, state: State) -> Iterator[Move]:
    queue = state.queue
    for number, job in enumerate(queue.jobs):
        if job.state not in JOB_ENDED and state.left.cancels:
            after = state._replace(queue=rules_of.cancel(queue, world.rules(), number))
            yield Move(f"somebody cancels job {number}", spend(after, "cancels"), Kind.PERSON)
    for number, attempt in enumerate(queue.attempts):
        if attempt.state in PERMITTED:
            yield from _resolve(world, state, number)
    bed = queue.beds[0]
    if bed.clear or state.octo.printing != NOTHING:
        return
    empty = state._replace(octo=state.octo._replace(part=NOTHING))
    version = bed.version if bed.attempt == NOTHING else None
    try:
        queue = rules_of.bed_cleared(queue, 0, attempt=bed.attempt, version=version)
    except Refused:
        pass
    else:
        yield Move("somebody clears the bed and says so", empty._replace(queue=queue), Kind.PERSON)
    if state.left.late:
        message = Message("bed cleared", bed.attempt, version=version)
        late = tuple(sorted((*state.late, message), key=repr))
        text = "somebody clears the bed, and the word of it is late"
        yield Move(text, spend(empty, "late")._replace(late=late), Kind.PERSON)


def _resolve(world: World, state: State, number: int) -> Iterator[Move]:
    """A person decides. By the queue's rule no permit can be used any more then."""
    unknown = state.queue.attempts[number].state == AttemptState.UNKNOWN
    abandoned = all(bridge.pc == Pc.DOWN for bridge in state.bridges)
    if not unknown and not abandoned:
        if not (state.queue.attempts[number].started and state.left.silences):
            return
        abandoned, state = True, spend(state, "silences")
    if state.octo.late_start != NOTHING and Plant.RESOLVED_WHILE_FROZEN not in world.plants:
        return
    if Plant.RESOLVED_WITHIN_PERMIT not in world.plants:
        state = time_passes(world, state)
    for outcome in Resolution:
        queue = rules_of.resolve(state.queue, number, outcome, bed_is_clear=False, abandoned=abandoned)
        yield Move(f"a person says of attempt {number}: {outcome}", state._replace(queue=queue), Kind.PERSON)
        if state.octo.printing == NOTHING and state.queue.beds[0].attempt == number:
            queue = rules_of.resolve(state.queue, number, outcome, bed_is_clear=True, abandoned=abandoned)
            after = state._replace(queue=queue, octo=state.octo._replace(part=NOTHING))
            yield Move(f"a person says of attempt {number}: {outcome}, and the bed is clear", after, Kind.PERSON)


def _people_at_printer(world: World, state: State) -> Iterator[Move]:
    octo = state.octo
    if octo.late_start != NOTHING:
        return
    if octo.printing == NOTHING and state.left.hands:
        after = state._replace(octo=octo._replace(printing=BY_HAND, part=BY_HAND, hand_over=0))
        yield Move("somebody starts a print by hand", spend(after, "hands"), Kind.PERSON)
    if octo.printing < 0:
        return
    if state.left.cancels:
        for heard, after in ends(world, state, "cancelled"):
            yield Move(f"somebody cancels at the printer{heard}", spend(after, "cancels"), Kind.PERSON)
    if octo.paused:
        yield Move("somebody resumes", state._replace(octo=octo._replace(paused=False)), Kind.PERSON)
    elif state.left.pauses:
        after = state._replace(octo=octo._replace(paused=True))
        yield Move("somebody pauses", spend(after, "pauses"), Kind.PERSON)


# -- what must hold ------------------------------------------------------------------------------------------------


def broken(state: State) -> str:
    """The promise that this state breaks, or nothing."""
    if state.proof.broken:
        return state.proof.broken
    if len(rules_of.live_attempts(state.queue, 0)) > 1:
        return "two live attempts hold one printer"
    for number, attempt in enumerate(state.queue.attempts):
        lost = state.proof.made[number] and attempt.state in ENDED and attempt.state != AttemptState.COMPLETED
        if lost and attempt.resolved is None:
            return "a printed copy is lost silently"
    for job in state.queue.jobs:
        if job.state == JobState.COMPLETED and job.completed < job.copies:
            return "a job is completed without its copies"
    return ""


def settled(world: World, state: State) -> bool:
    """Whether every job has ended, or visibly waits for a person."""
    return all(job.state in JOB_ENDED or _waits_for_person(world, state, job.state) for job in state.queue.jobs)


def _waits_for_person(world: World, state: State, job: JobState) -> bool:
    queue = state.queue
    live = rules_of.live_attempts(queue, 0)
    if job == JobState.UNKNOWN or any(queue.attempts[number].state == AttemptState.PAUSED for number in live):
        return True
    held = [number for number in live if queue.attempts[number].state == AttemptState.UNKNOWN]
    bed_waits = not live and not queue.beds[0].clear
    return bool(held) or bed_waits or (not live and len(queue.attempts) == world.attempts)


def finished(world: World, state: State) -> bool:
    """Whether every job has ended, or no further attempt is within this world's bounds."""
    bound = len(state.queue.attempts) == world.attempts and not rules_of.live_attempts(state.queue, 0)
    return bound or all(job.state in JOB_ENDED for job in state.queue.jobs)
