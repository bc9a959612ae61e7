"""One bridge process and its journal: what `fluxprint_bridge.printer` does, between any two writes that last.

Where to go on after a crash is decided by the code's own `printer.recovery.next_step`.
"""

from collections.abc import Iterator

from fluxprint_bridge.journal import Step
from fluxprint_bridge.printer.recovery import Next, next_step
from fluxprint_model import queue as rules_of
from fluxprint_model.beside import Beside
from fluxprint_model.plants import Plant
from fluxprint_model.printer import Kind, Move, starts
from fluxprint_model.process import crashed, over, refusal, resting, started
from fluxprint_model.state import (
    NOTHING,
    Bridge,
    Message,
    Octo,
    Pc,
    Pending,
    put,
    spend,
)
from fluxprint_model.tables import Given, Queue, Refused
from fluxprint_queue.attempts.states import AttemptState, ReportKind

OPEN = frozenset({Step.CLAIMED, Step.PERMITTED, Step.STARTING, Step.PRINTING, Step.UNKNOWN})
GIVE_BACK = frozenset({"bed_occupied", "job_cancelled"})
BLIND = Plant.BLIND_TO_HAND
OUTCOMES = {"done": ReportKind.COMPLETED, "failed": ReportKind.FAILED, "cancelled": ReportKind.CANCELLED}


class Process(Beside):
    """The moves of bridge `number` in one state of the world."""

    def moves(self) -> Iterator[Move]:
        me = self.me
        if me.journal < 0:  # it does not exist yet
            return
        if me.pc == Pc.DOWN:
            yield from self._start()
            return
        if self.state.left.crashes:
            yield Move(f"{self.name} crashes", spend(put(self.state, self.number, crashed(me)), "crashes"), Kind.FAULT)
        yield from self._deliver()
        yield from self._look_round()
        yield from self._commands()
        match me.pc:
            case Pc.ASK:
                yield from self._ask()
            case Pc.OFFER:
                yield from self._offered()
            case Pc.CHECK:
                yield from self._check()
            case Pc.PREPARE:
                yield from self._prepare()
            case Pc.READY:
                yield from self._ask_permit()
            case Pc.PERMIT:
                yield from self._intend()
            case Pc.INTENT:
                yield from self._press()
            case Pc.WAIT:
                yield from self._wait()
            case Pc.WATCH:
                yield from self._watch()

    def _start(self) -> Iterator[Move]:
        """Of a journal and its copy, which have one id, only one is ever run: the copy once the first is gone."""
        first = self.state.bridges[0]
        is_copy = self.number == 1 and first.journal == self.me.journal
        started = self.move("starts", self.me._replace(pc=Pc.ASK))
        if not is_copy or Plant.BOTH_COPIES_RUN in self.world.plants:
            yield started
        elif first.pc == Pc.DOWN:
            yield Move(f"{started.text} with what was restored", put(started.state, 0, Bridge(NOTHING)))

    # -- asking for work (printer/worker.py) ------------------------------------------------------------------------

    def _ask(self) -> Iterator[Move]:
        me, octo = self.me, self.state.octo
        stale = me.refused == "fence_stale"
        if me.step in (Step.STARTING, Step.PRINTING) and not stale:
            yield self.move("goes on watching by its journal alone", me._replace(pc=Pc.WATCH))
            return
        if (me.reports and not stale) or not self.answers:
            return
        holds = me.step in OPEN or stale
        ours = octo.printing >= 0 and octo.printing != me.disowned
        idle = octo.printing == NOTHING and me.looked_round
        if idle and not holds and not me.reports and (not self.unseen_hand(octo) or BLIND in self.world.plants):
            text = "sees the printer idle and the next file whole, and begins a claim"
            yield self.move(text, me._replace(pc=Pc.OFFER, fresh=True, alarmed=False))
        if holds or ours or idle:
            yield from self._claim(raced=False)
            if Plant.SECOND_LIVE_ATTEMPT in self.world.plants:
                yield from self._claim(raced=True)

    def _offered(self) -> Iterator[Move]:
        """`asking.ask`: the claim comes to the queue at some time, or is withdrawn. What it said may not be so then."""
        me = self.me
        yield self.move("withdraws its claim", resting(me))
        queue, given = rules_of.claim(self.state.queue, self.world.rules(), 0, me.journal, ready=True)
        if len(queue.attempts) > self.world.attempts:
            return
        if self.state.left.late and queue != self.state.queue:
            late = Message("ready claim", journal=me.journal)
            moved = self.lost("withdraws its claim, which or whose answer is late", late)
            yield Move(moved.text, put(moved.state, self.number, resting(me)), moved.kind)
        if given is None:
            yield self.move("gets nothing by its claim", over(resting(me)), queue=queue)
        elif not given.permitted:
            yield self._take(resting(me)._replace(refused=""), given, queue, busy=False)
        else:
            fresh = me.fresh or Plant.GRANT_GROWS_OLD in self.world.plants
            held = me._replace(
                attempt=given.attempt, step=Step.CLAIMED, shown=str(given.state), fence=given.fence, seen="", refused=""
            )
            held = held._replace(pc=Pc.PERMIT if fresh else Pc.WAIT, fresh=fresh)
            text = f"gets attempt {given.attempt} by its claim, with its permit" + ("" if fresh else ", too late")
            yield self.move(text, held, queue=queue)

    def _claim(self, *, raced: bool) -> Iterator[Move]:
        me = self.me
        queue, given = rules_of.claim(self.state.queue, self.world.rules(), 0, me.journal, raced=raced)
        if len(queue.attempts) > self.world.attempts:
            return
        if self.state.left.late and queue != self.state.queue:
            late = Message("claim", journal=me.journal)
            yield self.lost("claims, and the request or its answer is late", late)
        number = given.attempt if given else NOTHING
        printing = self.state.octo.printing
        busy = printing >= 0 and printing not in (me.disowned, number)
        if busy:  # a file of ours whose attempt the queue does not give
            me = me._replace(disowned=printing, hand="running!", looked_round=False, alarmed=True)
        me = me._replace(refused="", reports=self._still_true(given) if me.attempt == number else ())
        if given is None:
            yield self.move("claims and gets nothing", over(me), queue=queue)
        elif me.reports:
            me = me._replace(fence=given.fence)
            yield self.move("claims and has to tell first what became of its attempt", me, queue=queue)
        else:
            yield self._take(me, given, queue, busy=busy)

    def _still_true(self, given: Given | None) -> tuple[Pending, ...]:
        """The reports that wait; but that nothing was started is another's to say once another has the permit."""
        theirs = given is not None and not given.same_journal and given.state != AttemptState.CLAIMED
        if not theirs or Plant.OLD_RELEASE_TOLD in self.world.plants:
            return self.me.reports
        return tuple(pending for pending in self.me.reports if pending.kind != ReportKind.RELEASED)

    def _take(self, me: Bridge, given: Given, queue: Queue, *, busy: bool) -> Move:
        known = me.step if me.attempt == given.attempt else None
        if known is None and given.state == AttemptState.STARTING and given.same_journal:
            known = Step.CLAIMED  # what it had staged is claimed and permitted, and it has not heard of that
        step = next_step(journal=known, queue=str(given.state), same_journal=given.same_journal)
        if given.state == AttemptState.STARTING and Plant.OTHER_JOURNAL_PRESSES in self.world.plants:
            step = Next.PERMIT if known in (None, Step.CLAIMED, Step.PERMITTED) else step
        first = Step.UNKNOWN if given.state == AttemptState.UNKNOWN else None
        first = first or (Step.STARTING if step is Next.LOOK else Step.CLAIMED)
        me = me._replace(
            attempt=given.attempt,
            step=first if known in (None, Step.ENDED) else known,
            shown=str(given.state),
            fence=given.fence,
            seen=me.seen if me.attempt == given.attempt else "",
        )
        text = f"claims, gets attempt {given.attempt} ({given.state}) and decides: {step}"
        if given.state == AttemptState.STARTING and known is None and Plant.RESTART_PRESSES in self.world.plants:
            return self.move(text + ", and presses start", me._replace(pc=Pc.PERMIT, fresh=True), queue=queue)
        match step:
            case Next.RELEASE:
                return self.move(text, self.reported(me, ReportKind.RELEASED), queue=queue)
            case Next.TRANSFER if busy:
                return self.move(
                    text + ", but the printer is busy", self.reported(me, ReportKind.RELEASED), queue=queue
                )
            case Next.TRANSFER:
                return self.move(text, me._replace(pc=Pc.PREPARE), queue=queue)
            case Next.PERMIT:
                return self.move(text, me._replace(pc=Pc.CHECK), queue=queue)
            case _:
                return self.move(text, me._replace(pc=Pc.WATCH), queue=queue)

    # -- before the start (printer/starter.py) ----------------------------------------------------------------------

    def _check(self) -> Iterator[Move]:
        """`never_started`"""
        if not self.answers:
            return
        if self._has_trace():
            me = self.me._replace(step=Step.STARTING, shown="starting", pc=Pc.WATCH)
            yield self.move("finds a start that its journal does not know, and watches", me)
        else:
            yield self.move("finds no trace of a start, as its journal says", self.me._replace(pc=Pc.WAIT))

    def _has_trace(self) -> bool:
        octo = self.state.octo
        return octo.printing == self.me.attempt or bool(octo.history[self.me.attempt])

    def _prepare(self) -> Iterator[Move]:
        me = self.me
        code = refusal(lambda: rules_of.renew(self.state.queue, self.world.rules(), me.attempt, me.fence))
        if code:
            yield self.move(f"is refused its lease ({code})", resting(me))
        if self.state.left.faults:
            moved = self.move("fails to transfer the file", self.reported(me, ReportKind.RELEASED, fault=True))
            yield Move(moved.text, spend(moved.state, "faults"), Kind.FAULT)
        yield from self._until_idle("has transferred the file and sees the printer idle")

    def _until_idle(self, text: str) -> Iterator[Move]:
        me, octo = self.me, self.state.octo
        if not self.answers:
            return
        if octo.printing != NOTHING:
            yield self.move("finds the printer busy and gives back", self.reported(me, ReportKind.RELEASED))
        elif me.looked_round and (not self.unseen_hand(octo) or Plant.BLIND_TO_HAND in self.world.plants):
            if me.pc == Pc.WAIT and me.alarmed:
                yield self.move("gives back: there was another print", self.reported(me, ReportKind.RELEASED))
            else:
                alarmed = me.alarmed and me.pc == Pc.WAIT  # before: the queue was told, and sees to it
                yield self.move(text, me._replace(pc=Pc.READY, fresh=True, alarmed=alarmed))

    def _ask_permit(self) -> Iterator[Move]:
        me, rules = self.me, self.world.rules()
        if self.state.left.late:
            late = Message("permit", me.attempt, me.fence, me.journal)
            yield self.lost("asks for the permit, and the request or its answer is late", late)
        try:
            queue = rules_of.permit(self.state.queue, rules, me.attempt, fence=me.fence, journal=me.journal)
        except Refused as refused:
            yield self._permit_refused(refused.code)
            return
        if me.fresh or Plant.LOOK_GROWS_OLD in self.world.plants:
            me = me._replace(pc=Pc.PERMIT, fresh=True)
            yield self.move(f"gets the permit for attempt {me.attempt}", me, queue=queue)
        else:
            yield self.move("gets a permit too late to use it", me._replace(pc=Pc.WAIT), queue=queue)

    def _permit_refused(self, code: str) -> Move:
        me = self.me
        text = f"is refused the permit ({code})"
        if me.shown == "starting" and code == "job_cancelled":
            return self.move(text, self.reported(me, ReportKind.CANCELLED))
        if code in GIVE_BACK:
            return self.move(text + " and gives back", self.reported(me, ReportKind.RELEASED))
        return self.move(text, resting(me))

    def _intend(self) -> Iterator[Move]:
        me = self.me
        if me.cancel_wanted:
            yield self.move("does not start: cancelled", self.reported(me, ReportKind.CANCELLED))
            return
        yield self._expires(me._replace(pc=Pc.WAIT))
        if me.fresh and Plant.INTENT_NOT_WRITTEN in self.world.plants:
            yield self.move("does not write its intent", me._replace(pc=Pc.INTENT, shown="starting"))
        elif me.fresh:
            me = me._replace(step=Step.STARTING, shown="starting", pc=Pc.INTENT)
            yield self.move("writes its intent into the journal", me)

    def _expires(self, then: Bridge) -> Move:
        kind = Kind.FAULT if self.me.fresh else Kind.FAIR
        return Move(
            f"the permit of {self.name} runs out unused", put(self.state, self.number, then._replace(fresh=False)), kind
        )

    def _press(self) -> Iterator[Move]:
        me, octo = self.me, self.state.octo
        withdrawn = me._replace(step=Step.PERMITTED, shown="starting", pc=Pc.WAIT)
        yield self._expires(withdrawn)
        if not me.fresh or not self.answers:
            return
        watching = started(me)
        if octo.printing == me.attempt:
            yield self.move("presses start, is refused, and finds its own print", watching._replace(step=Step.STARTING))
        elif octo.printing != NOTHING:
            released = self.reported(withdrawn, ReportKind.RELEASED)
            yield self.move("presses start and is refused: the printer is busy", released)
        else:
            yield Move(
                f"{self.name} presses start of attempt {me.attempt}",
                put(starts(self.state, me.attempt), self.number, watching),
            )
            if self.state.left.presses:
                yield from self._press_goes_wrong(watching, withdrawn)

    def _press_goes_wrong(self, watching: Bridge, withdrawn: Bridge) -> Iterator[Move]:
        state = spend(self.state, "presses")
        refused = self.reported(withdrawn, ReportKind.RELEASED, fault=True)
        lost = put(state, self.number, watching)
        frozen = lost._replace(octo=lost.octo._replace(late_start=self.me.attempt))
        yield Move(f"{self.name} can't reach OctoPrint and withdraws", put(state, self.number, withdrawn), Kind.FAULT)
        yield Move(f"{self.name} presses start and OctoPrint refuses", put(state, self.number, refused), Kind.FAULT)
        yield Move(f"{self.name} presses start and the request is lost", lost, Kind.FAULT)
        yield Move(f"{self.name} presses start; OctoPrint is frozen and will do it later", frozen, Kind.FAULT)

    def _wait(self) -> Iterator[Move]:
        me = self.me
        if me.cancel_wanted:
            yield self.move("does not start: cancelled", self.reported(me, ReportKind.CANCELLED))
        else:
            yield from self._until_idle("sees the printer idle")

    # -- after the start (printer/watcher.py) -----------------------------------------------------------------------

    def _watch(self) -> Iterator[Move]:
        me, octo = self.me, self.state.octo
        if me.refused == "fence_stale":
            yield self.move("lets go: another process took over", resting(me))
        elif me.refused == "attempt_ended":
            yield self.move("lets go: the queue says that the attempt has ended", over(me))
        elif self.answers and octo.printing == me.attempt:
            yield from self._show(octo)
        elif self.answers:
            yield self._conclude(me.seen or octo.history[me.attempt])

    def _show(self, octo: Octo) -> Iterator[Move]:
        me = self.me
        if me.shown == "starting":
            yield self.move("reports that it prints", self.reported(me, ReportKind.STARTED))
        elif me.shown == "printing" and octo.paused:
            yield self.move("reports the pause", self.reported(me, ReportKind.PAUSED))
        elif me.shown == "paused" and not octo.paused:
            yield self.move("reports that it goes on", self.reported(me, ReportKind.RESUMED))

    def _conclude(self, ended: str) -> Move:
        me = self.me
        if ended:
            return self.move(f"reports the outcome: {ended}", self.reported(me, OUTCOMES[ended]))
        if me.shown == "unknown":
            return self.move("finds nothing new", resting(me))
        return self.move("finds no trace and reports the outcome as unknown", self.reported(me, ReportKind.UNKNOWN))
