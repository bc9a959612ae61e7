"""OctoPrint, its printer and the bed: what happens there, and what an observer would say about it."""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from fluxprint_model.plants import Plant
from fluxprint_model.state import BY_HAND, NOTHING, Pc, State, World, spend
from fluxprint_queue.attempts.schemas import Resolution
from fluxprint_queue.attempts.states import ENDED, AttemptState
from fluxprint_queue.jobs.states import JobState


class Kind(IntEnum):
    """Who makes a move. Fair ones happen if they stay possible; the others may never come."""

    FAIR = 0
    PERSON = 1
    FAULT = 2


class Move(NamedTuple):
    text: str
    state: State
    kind: Kind = Kind.FAIR


def starts(state: State, attempt: int) -> State:
    """The nozzle moves: the one physical act. Here the promises hold, or are broken."""
    proof = state.proof
    counted = (*proof.starts[:attempt], min(2, proof.starts[attempt] + 1), *proof.starts[attempt + 1 :])
    return state._replace(
        octo=state.octo._replace(printing=attempt, paused=False, hand_over=0, part=attempt),
        proof=proof._replace(starts=counted, broken=_broken_by_start(state, attempt)),
    )


def _broken_by_start(state: State, number: int) -> str:
    attempt = state.queue.attempts[number]
    job = state.queue.jobs[attempt.job]
    if state.proof.starts[number]:
        return "an attempt was started twice"
    if state.octo.part != NOTHING:
        return "a print was started on an occupied bed"
    if attempt.state == AttemptState.CANCELLED or job.state == JobState.CANCELLED:
        return "a print was started after its cancel was confirmed"
    if attempt.state in ENDED:
        return "an attempt that has ended was started"
    for other, earlier in enumerate(state.queue.attempts):
        same = other != number and (earlier.job, earlier.copy) == (attempt.job, attempt.copy)
        if same and state.proof.starts[other] and earlier.resolved is not Resolution.FAILED_REQUEUE:
            return "a copy was printed again although no person said so"
    return ""


def ends(world: World, state: State, how: str) -> Iterator[tuple[str, State]]:
    """The print ends: whoever watches hears of it, or not. It took longer than a permit is valid."""
    octo = state.octo
    attempt = octo.printing
    state = time_passes(world, state)
    if attempt == BY_HAND:
        unseen = sum(1 << number for number, bridge in enumerate(state.bridges) if "running" not in bridge.hand)
        yield "", state._replace(octo=octo._replace(printing=NOTHING, hand_over=unseen))
        return
    history = (*octo.history[:attempt], how, *octo.history[attempt + 1 :])
    made = (*state.proof.made[:attempt], how == "done", *state.proof.made[attempt + 1 :])
    state = state._replace(
        octo=octo._replace(printing=NOTHING, paused=False, history=history), proof=state.proof._replace(made=made)
    )
    yield "", state
    watching = [bridge.pc == Pc.WATCH and bridge.attempt == attempt and not bridge.seen for bridge in state.bridges]
    if any(watching):
        bridges = zip(state.bridges, watching, strict=True)
        heard = tuple(bridge._replace(seen=how) if watches else bridge for bridge, watches in bridges)
        yield ", and its bridge hears of it at once", state._replace(bridges=heard)


def time_passes(world: World, state: State) -> State:
    """So long that every look at the printer is old, every permit that was not used has run out, and a person's
    request has reached the queue or never will."""
    state = state._replace(bridges=tuple(bridge._replace(fresh=False) for bridge in state.bridges))
    if not state.late or Plant.CONFIRMED_LONG_AGO in world.plants:
        return state
    return state._replace(late=tuple(message for message in state.late if message.what != "bed cleared"))


def printer_moves(world: World, state: State) -> Iterator[Move]:
    """What happens at the printer by itself, and what OctoPrint does wrong."""
    octo = state.octo
    if octo.late_start != NOTHING:
        yield from _wakes(state)
    elif octo.printing == BY_HAND:
        unnoticed = any(bridge.pc != Pc.DOWN and "running" not in bridge.hand for bridge in state.bridges)
        for _, after in ends(world, state, "done"):
            if not unnoticed:
                yield Move("the print by hand ends", after)
            elif state.left.stalls:
                text = "the print by hand ends, and a bridge that was stopped or cut off did not see it"
                yield Move(text, spend(after, "stalls"), Kind.FAULT)
    elif octo.printing != NOTHING and not octo.paused:
        for heard, after in ends(world, state, "done"):
            yield Move(f"the print of attempt {octo.printing} is done{heard}", after)
        if state.left.fails:
            for heard, after in ends(world, state, "failed"):
                yield Move(f"the print of attempt {octo.printing} fails{heard}", spend(after, "fails"), Kind.FAULT)
    if state.left.forgets:
        yield from _forgets(world, state)


def _wakes(state: State) -> Iterator[Move]:
    attempt = state.octo.late_start
    awake = state._replace(octo=state.octo._replace(late_start=NOTHING))
    if state.octo.printing != NOTHING:
        yield Move(f"OctoPrint wakes up and refuses the late start of attempt {attempt}: it prints", awake)
    else:
        yield Move(f"OctoPrint wakes up and carries out the late start of attempt {attempt}", starts(awake, attempt))


def _forgets(world: World, state: State) -> Iterator[Move]:
    octo = state.octo
    unseen = octo.hand_over or (octo.printing == BY_HAND and any("running" not in b.hand for b in state.bridges))
    if unseen and Plant.HAND_PRINT_FORGOTTEN not in world.plants:
        return
    if _restored(state) and Plant.RESTORED_AND_FORGOTTEN not in world.plants:
        return
    after = spend(time_passes(world, state), "forgets")
    gone = octo._replace(printing=NOTHING, paused=False, late_start=NOTHING, hand_over=0)
    if octo.printing != NOTHING or octo.late_start != NOTHING or unseen:
        yield Move("OctoPrint crashes and has no trace of what it did", after._replace(octo=gone), Kind.FAULT)
    if any(octo.history):
        lost = gone._replace(history=("",) * len(octo.history))
        yield Move("OctoPrint crashes before its history was written", after._replace(octo=lost), Kind.FAULT)


def _restored(state: State) -> bool:
    """Whether a bridge has, or may come to have, an old copy of a journal."""
    return len(state.bridges) == 2 and state.bridges[0].journal in (NOTHING, state.bridges[1].journal)
