"""Asks the queue for work: with what is staged, with the word that the printer is ready for it, and waiting for it."""

import asyncio
from dataclasses import dataclass

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudUnavailable
from fluxprint_bridge.cloud.schemas import Assignment
from fluxprint_bridge.journal import Attempt
from fluxprint_bridge.octoprint.state import PrinterState
from fluxprint_bridge.printer.desk import Desk
from fluxprint_bridge.printer.foreign import gist
from fluxprint_bridge.printer.staging import Glance, glance_at
from fluxprint_bridge.printer.starter import Look
from fluxprint_bridge.staged import StagedFile

#: How long a claim waits for work. With the look before it, and after it the start, it stays below a permit's 30 s.
WAIT_S = 10.0
#: A doorbell that such a claim should have heard too: the answer is given so long, then it is asked again.
ANSWER_S = 2.0
GLANCE_S = 0.5  #: how often it is seen whether the claim still says what is so


class Withdrawn(Exception):
    """Something changed while a claim waited. It may have been answered with work all the same."""


@dataclass(frozen=True)
class Offer:
    """What was seen before a claim said `ready`, and how many prints by hand were noticed until then."""

    file: StagedFile
    look: Look
    foreign_prints: int


@dataclass(frozen=True)
class Answer:
    """What the queue said; `waited`: it took its time, and may be asked again at once."""

    assignment: Assignment | None
    glance: Glance | None = None
    offer: Offer | None = None
    waited: bool = False

    @property
    def permit_ends_at(self) -> float | None:
        """Until when (`clock.now`) start may be pressed, where the permit came with the claim."""
        if self.assignment is None or self.offer is None or self.assignment.permit_valid_s is None:
            return None
        return self.offer.look.at + self.assignment.permit_valid_s


async def ask(desk: Desk, record: Attempt | None, *, adopt_only: bool) -> Answer:
    """Claim. Raises `CloudError`, and `Withdrawn`."""
    if desk.asked:  # else a claim whose answer was lost may have got it
        desk.offered = None
    staged = await desk.shelf.file()
    if record is None and not adopt_only and not desk.outbox.stale:
        return await _ask_ready(desk, staged)
    glancing = asyncio.create_task(glance_at(desk, staged))
    try:
        assignment = await desk.api.claim(
            desk.printer_id, journal_id=desk.journal.journal_id, staged=staged, adopt_only=adopt_only
        )
        return Answer(assignment, await glancing)
    finally:
        glancing.cancel()


async def _ask_ready(desk: Desk, staged: StagedFile | None) -> Answer:
    """Look first, so that the permit can come with the claim; and wait where the last claim brought nothing."""
    desk.ask_again.clear()
    glance = await glance_at(desk, staged)
    offer = _offer(desk, staged, glance)
    wait_s = WAIT_S if desk.nothing_to_claim else 0.0
    asked_at = clock.now()
    if offer is not None:
        desk.offered = offer.file.attempt_id
    claiming = asyncio.create_task(
        desk.api.claim(
            desk.printer_id,
            journal_id=desk.journal.journal_id,
            staged=staged,
            adopt_only=False,
            ready=offer is not None,
            wait_s=wait_s,
        )
    )
    try:
        await _until_answered(desk, claiming)
        assignment = await claiming
        if assignment is None:
            desk.offered = None
    except (Withdrawn, CloudUnavailable):
        # It may live all the same: it is asked for at once, whatever the printer does, and nothing is tidied before.
        desk.asked = desk.nothing_to_claim = False
        raise
    finally:
        claiming.cancel()
    if staged is not None and _refuses(assignment, staged):
        await desk.shelf.discard(staged.attempt_id)
    return Answer(assignment, glance, offer, waited=clock.now() - asked_at > wait_s / 2 > 0)


def _offer(desk: Desk, staged: StagedFile | None, glance: Glance | None) -> Offer | None:
    """What `until_idle` and `bring` ask for: the printer is idle, all prints are told, the file is whole."""
    if staged is None or glance is None or glance.file is None or glance.printed_by_hand:
        return None
    if (glance.file.size_bytes, glance.file.sha1) != (staged.size_bytes, staged.sha1):
        return None
    job = glance.look.job
    told = desk.foreign_told.is_set() and gist(desk, job) == desk.handled
    return Offer(staged, glance.look, desk.foreign_prints) if job.state is PrinterState.IDLE and told else None


async def _until_answered(desk: Desk, claiming: "asyncio.Task[Assignment | None]") -> None:
    """Wait for the answer while what the claim says is still so. Raises `Withdrawn`."""
    before, foreign_prints = desk.state, desk.foreign_prints
    rung_at: float | None = None
    while not claiming.done():
        changed = desk.monitor.changed
        if desk.state != before or desk.foreign_prints != foreign_prints or not desk.foreign_told.is_set():
            raise Withdrawn("the printer is not as it was")
        if desk.ask_again.is_set() or desk.standing_back or desk.problem is not None:
            raise Withdrawn("something else is to be asked")
        if desk.bell.is_set():
            rung_at = rung_at or clock.now()
            if clock.now() - rung_at > ANSWER_S:
                raise Withdrawn("the doorbell rang, and there is no answer")
        changing = asyncio.create_task(changed.wait())
        try:
            await asyncio.wait({claiming, changing}, timeout=GLANCE_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changing.cancel()  # not awaited: who is stopped at that moment must not take it for this one's end


def _refuses(assignment: Assignment | None, staged: StagedFile) -> bool:
    """Whether new work needs what is staged, and not under its id: an attempt had it, in a journal newer than this."""
    if assignment is None or assignment.attempt.state != "claimed" or assignment.attempt.id == staged.attempt_id:
        return False
    return assignment.file.sha256 == staged.sha256
