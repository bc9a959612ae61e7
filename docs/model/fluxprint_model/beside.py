"""What runs beside a bridge's main loop: its outbox, its watch for prints by hand, its orders."""

from collections.abc import Iterator

from fluxprint_bridge.journal import Step
from fluxprint_model import queue as rules_of
from fluxprint_model.printer import Move, ends
from fluxprint_model.process import Steps
from fluxprint_model.state import BY_HAND, NOTHING, Message, Pc
from fluxprint_model.tables import Refused
from fluxprint_queue.commands.states import CommandState

#: What waits for a cancel instead of pressing start.
BEFORE_START = frozenset({Pc.READY, Pc.PERMIT, Pc.WAIT})


class Beside(Steps):
    """`printer/outbox.py`, `printer/foreign.py`, `printer/commands.py`."""

    def _deliver(self) -> Iterator[Move]:
        me = self.me
        if not me.reports or me.refused == "fence_stale":
            return
        first, rest = me.reports[0], me.reports[1:]
        late = Message("report", me.attempt, me.fence, report=first)
        if self.state.left.late and late not in self.state.late:
            yield self.lost(f"reports {first.kind}, and the request or its answer is late", late)
        try:
            queue = rules_of.report(
                self.state.queue, self.world.rules(), me.attempt,
                fence=me.fence, report_id=first.report_id, kind=first.kind, fault=first.fault,
            )  # fmt: skip
        except Refused as refused:
            if refused.code != "fence_stale":
                me = me._replace(reports=rest)
            yield self.move(f"delivers {first.kind} and is refused ({refused.code})", me._replace(refused=refused.code))
        else:
            yield self.move(f"delivers {first.kind} of attempt {me.attempt}", me._replace(reports=rest), queue=queue)

    def _look_round(self) -> Iterator[Move]:
        """`watch_foreign`"""
        me, octo = self.me, self.state.octo
        if me.hand.endswith("!"):
            if self.state.left.late:
                yield self.lost("tells of another print, and the request or its answer is late", Message("hand"))
            told = me._replace(hand="running" if me.hand == "running!" else "")
            yield self.move(
                "tells the queue of another print",
                told,
                queue=rules_of.foreign_print(self.state.queue, self.world.rules(), 0),
            )
        elif self.answers:
            noticed = me._replace(looked_round=False, alarmed=True)
            running = octo.printing == BY_HAND or (octo.printing == me.attempt >= 0 and self._is_over())
            if running and not me.hand:
                yield self.move("notices a print that is not ours", noticed._replace(hand="running!"))
            elif octo.printing == NOTHING and (me.hand or self.unseen_hand(octo)):
                seen = octo._replace(hand_over=octo.hand_over & ~(1 << self.number))
                yield self.move("notices the end of another print", noticed._replace(hand="over!"), octo=seen)
            elif not me.hand and not me.looked_round and not running:
                yield self.move("has looked round", me._replace(looked_round=True))

    def _is_over(self) -> bool:
        return self.me.step == Step.ENDED and self.me.pc == Pc.ASK

    def _commands(self) -> Iterator[Move]:
        me, octo = self.me, self.state.octo
        for index, command in enumerate(self.state.queue.commands):
            if command.attempt != me.attempt or command.state != CommandState.PENDING:
                continue
            if me.pc in BEFORE_START and not me.cancel_wanted:
                yield self.move("hears of the cancel before the start", me._replace(cancel_wanted=True))
            elif me.pc == Pc.WATCH and self.answers and octo.printing == me.attempt:
                for heard, after in ends(self.world, self.state, "cancelled"):
                    yield Move(f"{self.name} has OctoPrint cancel attempt {me.attempt}{heard}", after)
            elif me.step in (Step.ENDED, Step.UNKNOWN) or (
                me.pc == Pc.WATCH and "cancelled" in (me.seen, octo.history[me.attempt])
            ):
                done = "cancelled" in (me.shown, me.seen, octo.history[me.attempt])
                result = CommandState.SUCCEEDED if done else CommandState.FAILED
                queue = rules_of.command_result(self.state.queue, index, result)
                yield self.move(f"says that the cancel has {result}", me, queue=queue)
