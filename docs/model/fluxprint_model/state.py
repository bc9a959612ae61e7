"""What the searched world is made of: the queue, one printer with its OctoPrint, the bridges, and what is under way."""

from enum import IntEnum
from functools import cache
from typing import NamedTuple

from fluxprint_bridge.journal import Step
from fluxprint_model.plants import Plant
from fluxprint_model.tables import Job, Queue, Rules
from fluxprint_queue.attempts.states import LIVE, ReportKind

NOTHING = -1
BY_HAND = -2  #: a print that somebody started at OctoPrint, and the part that it leaves


class Pc(IntEnum):
    """Where a bridge process stands. A crash may come at each."""

    DOWN = 0
    ASK = 1  #: the top of its loop
    OFFER = 9  #: has seen the printer idle and its next file whole, and a claim that says so is under way
    CHECK = 2  #: permitted to a process before this one: has OctoPrint a trace of it?
    PREPARE = 3  #: has claimed, transfers the file, waits for the printer
    READY = 4  #: has seen the printer idle, and asks for the permit
    PERMIT = 5  #: has the permit in its hands
    INTENT = 6  #: the intent is on the disk; about to press start
    WAIT = 7  #: permitted, but the permit ran out unused: looks again
    WATCH = 8  #: start was, or may have been, pressed


class Pending(NamedTuple):
    """A report in the journal."""

    report_id: int
    kind: ReportKind
    fault: bool


class Bridge(NamedTuple):
    """One process and its journal. `hand` is the last print by hand: `running`, `over`, with `!` while not told."""

    journal: int
    attempt: int = NOTHING
    step: Step = Step.ENDED
    shown: str = ""
    fence: int = 0
    seen: str = ""  #: how the print ended, by a push event that came before OctoPrint could forget it
    reports: tuple[Pending, ...] = ()
    hand: str = ""
    # what a crash forgets
    pc: Pc = Pc.DOWN
    refused: str = ""  #: the queue's last refusal of a report since the last claim
    looked_round: bool = False  #: no print by hand waits to be noticed or told, as far as it knows
    alarmed: bool = False  #: a print by hand was noticed since the permit was first asked for
    cancel_wanted: bool = False
    fresh: bool = False  #: the printer was seen idle so recently that no print can have ended since
    disowned: int = NOTHING


class Octo(NamedTuple):
    """One printer: what OctoPrint knows, and what lies on the bed."""

    printing: int = NOTHING
    paused: bool = False
    late_start: int = NOTHING  #: OctoPrint is frozen, and this start will run when it wakes
    history: tuple[str, ...] = ()  #: of each attempt's file: done, failed, cancelled
    hand_over: int = 0  #: a finished print by hand is what it shows; bit N: bridge N has not seen it
    part: int = NOTHING


class Message(NamedTuple):
    """A request that is late, or a duplicate: nobody waits for its answer."""

    what: str
    attempt: int = NOTHING
    fence: int = 0
    journal: int = 0
    report: Pending | None = None
    version: int | None = None


class Left(NamedTuple):
    """How much may still go wrong, and how often people still do something."""

    crashes: int = 0  #: of bridges
    forgets: int = 0  #: OctoPrint crashes, or loses the printer while it is paused: the print leaves no trace
    late: int = 0  #: messages that are late or duplicated; an answer that is lost is one that is delivered at once
    presses: int = 0  #: starts that are refused, lost, or run late
    faults: int = 0  #: transfers that fail
    fails: int = 0  #: prints that fail
    leases: int = 0  #: leases that run out
    stalls: int = 0  #: a bridge is stopped, or cut off from its OctoPrint, for longer than a print
    silences: int = 0  #: OctoPrint does not answer for so long that a person decides over what was seen printing
    hands: int = 0  #: prints by hand
    cancels: int = 0
    pauses: int = 0
    copies: int = 0  #: of the first bridge's journal, for the second


class Proof(NamedTuple):
    """What an all-seeing observer counts; nobody in the world knows it."""

    starts: tuple[int, ...] = ()  #: of each attempt
    made: tuple[bool, ...] = ()  #: whether its part is complete
    broken: str = ""  #: the promise that a step has broken


class State(NamedTuple):
    queue: Queue
    octo: Octo
    bridges: tuple[Bridge, ...]
    late: tuple[Message, ...]
    left: Left
    proof: Proof


class World(NamedTuple):
    """The bounds of one search."""

    name: str
    left: Left
    copies: tuple[int, ...] = (1,)  #: of each job
    attempts: int = 2  #: a claim that would open one more is not made
    bridges: int = 1
    max_releases: int = 2
    plants: frozenset[Plant] = frozenset()

    def rules(self) -> Rules:
        return Rules(self.max_releases, self.plants)

    def start(self) -> State:
        """A clear bed, jobs that wait, bridges that are off."""
        jobs = tuple(Job(copies, copies) for copies in self.copies)
        return State(
            Queue(jobs),
            Octo(history=("",) * self.attempts),
            tuple(Bridge(NOTHING if number and self.left.copies else number) for number in range(self.bridges)),
            (),
            self.left,
            Proof((0,) * self.attempts, (False,) * self.attempts),
        )


def put(state: State, number: int, bridge: Bridge) -> State:
    """This state with another bridge."""
    return state._replace(bridges=(*state.bridges[:number], bridge, *state.bridges[number + 1 :]))


def spend(state: State, budget: str) -> State:
    """One fault less to come."""
    return state._replace(left=state.left._replace(**{budget: getattr(state.left, budget) - 1}))


def next_report_id(state: State) -> int:
    """A report id that nothing refers to: ids are random in the code, and forgotten ones are used again here."""
    used = {pending.report_id for bridge in state.bridges for pending in bridge.reports}
    used |= {report_id for _, report_id in state.queue.taken}
    used |= {message.report.report_id for message in state.late if message.report}
    return min(set(range(len(used) + 1)) - used)


def canonical(state: State) -> State:
    """The same state in its simplest words: only whether numbers are equal matters, and what nobody asks is dropped."""
    queue = state.queue
    if any(attempt.fence > 1 for attempt in queue.attempts) or queue.beds[0].version > 1:
        state = _renumbered(state)
        queue = state.queue
    bridges = tuple(_tidied_of(state, number) for number in range(len(state.bridges)))
    if bridges != state.bridges:
        state = state._replace(bridges=bridges)
    if queue.taken or any(bridge.reports for bridge in bridges):
        state = _reports_renumbered(state)
    return _forgotten(state)


def _renumbered(state: State) -> State:
    queue = state.queue
    newest = [attempt.fence for attempt in queue.attempts]
    version = queue.beds[0].version

    def fence(attempt: int, held: int) -> int:
        return int(attempt != NOTHING and newest[attempt] == held)

    attempts = tuple(attempt._replace(fence=1) for attempt in queue.attempts)
    beds = tuple(bed._replace(version=1) for bed in queue.beds)
    bridges = tuple(bridge._replace(fence=fence(bridge.attempt, bridge.fence)) for bridge in state.bridges)
    late = (
        message._replace(
            fence=fence(message.attempt, message.fence) if message.what != "bed cleared" else 0,
            version=None if message.version is None else int(message.version == version),
        )
        for message in state.late
    )
    return state._replace(
        queue=queue._replace(attempts=attempts, beds=beds), bridges=bridges, late=tuple(sorted(late, key=repr))
    )


def _reports_renumbered(state: State) -> State:
    """Report ids in the order in which they are met; the queue's memory of others is of no use."""
    known: dict[int, int] = {}
    for bridge in state.bridges:
        for pending in bridge.reports:
            known.setdefault(pending.report_id, len(known))  # twice where a journal was copied
    for message in state.late:
        if message.report:
            known.setdefault(message.report.report_id, len(known))
    taken = frozenset((number, known[old]) for number, old in state.queue.taken if old in known)
    if all(old == new for old, new in known.items()):
        return state if taken == state.queue.taken else state._replace(queue=state.queue._replace(taken=taken))

    def renamed(pending: Pending) -> Pending:
        return pending._replace(report_id=known[pending.report_id])

    return state._replace(
        queue=state.queue._replace(taken=taken),
        bridges=tuple(bridge._replace(reports=tuple(map(renamed, bridge.reports))) for bridge in state.bridges),
        late=tuple(m._replace(report=renamed(m.report)) if m.report else m for m in state.late),
    )


def _tidied_of(state: State, number: int) -> Bridge:
    bridge, octo = state.bridges[number], state.octo
    lives = bridge.attempt != NOTHING and state.queue.attempts[bridge.attempt].state in LIVE
    hand = octo.printing == BY_HAND or bool(octo.hand_over >> number & 1)
    return _tidied(bridge, disowned_prints=bridge.disowned == octo.printing, hand=hand, lives=lives)


@cache
def _tidied(bridge: Bridge, *, disowned_prints: bool, hand: bool, lives: bool) -> Bridge:
    """After the steps that touch nobody else, and without what it will not ask for before it is overwritten."""
    if bridge.pc == Pc.DOWN:
        return _at_rest(bridge, lives=lives)
    if not bridge.hand and not hand:
        bridge = bridge._replace(looked_round=True)
    if bridge.pc == Pc.PERMIT and not bridge.fresh:
        return bridge._replace(pc=Pc.WAIT)
    if bridge.pc not in (Pc.ASK, Pc.WATCH):
        return bridge
    if not lives or bridge.step not in (Step.CLAIMED, Step.PERMITTED):  # else it may ask for the same permit again
        bridge = bridge._replace(alarmed=False)
    if not disowned_prints:
        bridge = bridge._replace(disowned=NOTHING)
    if bridge.refused == "transition_refused":
        bridge = bridge._replace(refused="")
    stale = bridge.refused == "fence_stale"
    watches = bridge.step in (Step.STARTING, Step.PRINTING) or (bridge.pc == Pc.WATCH and bridge.step != Step.ENDED)
    if watches and not stale:
        return bridge._replace(pc=Pc.WATCH)
    return _at_rest(bridge._replace(pc=Pc.ASK), lives=lives)


def _at_rest(bridge: Bridge, *, lives: bool) -> Bridge:
    """Its next claim overwrites much."""
    stale = bridge.refused == "fence_stale"
    if bridge.attempt == NOTHING or (bridge.step in (Step.STARTING, Step.PRINTING) and not stale):
        return bridge
    bridge = bridge._replace(refused="fence_stale" if stale else "")
    if bridge.reports:
        return bridge._replace(fence=0) if stale else bridge
    bridge = bridge._replace(shown="")
    if bridge.step == Step.ENDED and not lives:
        return bridge._replace(attempt=NOTHING, fence=0, seen="")
    return bridge._replace(fence=0)


def _forgotten(state: State) -> State:
    """Without the history of files that nobody will ask for."""
    octo = state.octo
    if not any(octo.history):
        return state
    asked = {bridge.attempt for bridge in state.bridges}
    history = tuple(
        past if past and (number in asked or state.queue.attempts[number].state in LIVE) else ""
        for number, past in enumerate(octo.history)
    )
    return state if history == octo.history else state._replace(octo=octo._replace(history=history))


_OF_A_JOURNAL = ("claim", "ready claim", "permit")


def swapped(state: State) -> State:
    """Two bridges with journals of their own are alike: which is A and which is B makes no difference."""
    if len(state.bridges) != 2 or state.bridges[0].journal != 0 or state.bridges[1].journal != 1:
        return state
    one, other = state.bridges
    if one[1:] <= other[1:]:
        return state
    hand_over = (state.octo.hand_over >> 1) | (state.octo.hand_over & 1) << 1
    attempts = tuple(attempt._replace(journal=1 - attempt.journal) for attempt in state.queue.attempts)
    late = (m._replace(journal=1 - m.journal) if m.what in _OF_A_JOURNAL else m for m in state.late)
    return state._replace(
        octo=state.octo._replace(hand_over=hand_over) if hand_over != state.octo.hand_over else state.octo,
        queue=state.queue._replace(attempts=attempts),
        bridges=(other._replace(journal=0), one._replace(journal=1)),
        late=tuple(sorted(late, key=repr)),
    )
