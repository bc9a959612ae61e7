"""What all moves of a bridge process are made of."""

from collections.abc import Callable

from fluxprint_bridge.journal import Step
from fluxprint_model.printer import Kind, Move
from fluxprint_model.state import NOTHING, Bridge, Message, Octo, Pc, Pending, State, World, next_report_id, put, spend
from fluxprint_model.tables import Queue, Refused
from fluxprint_queue.attempts.states import ENDED, REPORTED_STATE, AttemptState, ReportKind


class Steps:
    """Bridge `number` in one state of the world."""

    def __init__(self, world: World, state: State, number: int) -> None:
        self.world, self.state, self.number = world, state, number
        self.me = state.bridges[number]
        self.name = "bridge " + "AB"[number]
        self.answers = state.octo.late_start == NOTHING  # a frozen OctoPrint answers nobody

    def unseen_hand(self, octo: Octo) -> bool:
        return bool(octo.hand_over >> self.number & 1)

    def move(self, text: str, me: Bridge, *, queue: Queue | None = None, octo: Octo | None = None) -> Move:
        state = put(self.state, self.number, me)
        if queue is not None:
            state = state._replace(queue=queue)
        if octo is not None:
            state = state._replace(octo=octo)
        return Move(f"{self.name} {text}", state)

    def lost(self, text: str, message: Message) -> Move:
        """The request is under way, and this process knows nothing of its answer."""
        late = tuple(sorted((*self.state.late, message), key=repr))
        return Move(f"{self.name} {text}", spend(self.state, "late")._replace(late=late), Kind.FAULT)

    def reported(self, me: Bridge, kind: ReportKind, *, fault: bool = False) -> Bridge:
        """`Journal.report`: the report and what it means here, in one transaction."""
        shown = REPORTED_STATE[kind]
        step = Step.ENDED if shown in ENDED else Step.UNKNOWN if shown == AttemptState.UNKNOWN else Step.PRINTING
        me = me if step == Step.PRINTING else resting(me)
        pending = Pending(next_report_id(self.state), kind, fault)
        return me._replace(shown=str(shown), step=step, reports=(*me.reports, pending))


def crashed(me: Bridge) -> Bridge:
    """What is left of it is its journal."""
    return Bridge(me.journal, me.attempt, me.step, me.shown, me.fence, me.seen, me.reports, me.hand)


def resting(me: Bridge) -> Bridge:
    """Back at the top of the loop."""
    return me._replace(pc=Pc.ASK, cancel_wanted=False, fresh=False)


def started(me: Bridge) -> Bridge:
    return me._replace(pc=Pc.WATCH, cancel_wanted=False, fresh=False)


def over(me: Bridge) -> Bridge:
    """`Journal.end`"""
    return resting(me)._replace(step=Step.ENDED, shown="ended")


def refusal(call: Callable[[], object]) -> str:
    try:
        call()
    except Refused as refused:
        return refused.code
    return ""
