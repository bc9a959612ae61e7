"""Claims that wait for work. Each is a request that holds nothing but its socket until something happens."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

from fluxprint_common.principal import Principal
from fluxprint_common.problems import Unavailable
from fluxprint_queue.attempts.repository import Staged
from fluxprint_queue.attempts.service import Claimed

#: A bridge's claims that wait at once in this process; one more is answered at once, as if it did not want to wait.
PER_BRIDGE = 16
#: A transaction that claims for somebody is over by then, as PostgreSQL's time-outs have it.
CLAIM_TIMEOUT_S = 30.0
#: Printers that are woken at once by a job that any may take; the doorbell rings as many as it needs a moment later.
AT_ONCE = 4


@dataclass(frozen=True)
class Offer:
    """A bridge that is ready to press start: what it has staged, and as whom it claims."""

    principal: Principal
    journal_id: UUID
    staged: Staged


class Waiter:
    """One claim that waits.

    Attributes:
        free: it could take work at once, when it was last looked at.
        offer: whoever frees its printer may claim for it, in the transaction that does so. None while somebody does.
        given: what was claimed for it, and is committed.
    """

    def __init__(self, organisation_id: UUID, offer: Offer | None) -> None:
        self.organisation_id = organisation_id
        self.offer = offer
        self.given: Claimed | None = None
        self.free = False
        self._rung = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._in_doubt = False
        self._ended = False

    @property
    def is_rung(self) -> bool:
        return self._rung.is_set()

    def ring(self) -> None:
        self._rung.set()

    def take(self) -> Offer | None:
        """What to claim with. It is not answered with nothing before `settle`."""
        offer, self.offer = self.offer, None
        if offer is not None:
            self._settled.clear()
        return offer

    def give(self, claimed: Claimed) -> None:
        """Answer it."""
        self.given = claimed
        self._rung.set()

    def settle(self, offer: Offer | None) -> None:
        """Whoever took its offer is done: gives it back, or None where nobody knows what became of it."""
        if offer is None:
            self._in_doubt = True
        elif self.given is None and not self._ended:
            self.offer = offer
        self._settled.set()

    async def last(self) -> Claimed | None:
        """What was claimed for it, once nobody does any more: an answer with nothing is proof that nothing was.

        Raises:
            Unavailable: nobody knows.
        """
        self.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLAIM_TIMEOUT_S):
                await self._settled.wait()
        if self.given is None and (self._in_doubt or not self._settled.is_set()):
            raise Unavailable("It is not known what was claimed for this request; ask again.")
        return self.given

    def end(self) -> None:
        """Nobody waits for its answer any more, or the service stops."""
        self._ended, self.offer = True, None
        self._rung.set()

    async def rings(self, timeout_s: float) -> bool:
        """Whether it is rung in time, and not ended; what rings from then on is for the next time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return not self._ended


class Waiters:
    """All claims that wait in this process. Ringing one that finds nothing costs a look and loses nothing."""

    def __init__(self) -> None:
        self._of_printer: dict[UUID, list[Waiter]] = {}
        self._of_bridge: dict[UUID, int] = {}
        self._stopping = False

    @contextmanager
    def waiting(self, principal: Principal, printer_id: UUID, offer: Offer | None) -> Iterator[Waiter | None]:
        """A place to wait; None where the bridge has all of its places, or the service stops."""
        bridge_id = principal.subject
        taken = self._of_bridge.get(bridge_id, 0)
        if self._stopping or taken >= PER_BRIDGE:
            yield None
            return
        waiter = Waiter(principal.organisation_id, offer)
        self._of_bridge[bridge_id] = taken + 1
        self._of_printer.setdefault(printer_id, []).append(waiter)
        try:
            yield waiter
        finally:
            waiter.end()
            self._of_bridge[bridge_id] -= 1
            if not self._of_bridge[bridge_id]:
                del self._of_bridge[bridge_id]
            self._of_printer[printer_id].remove(waiter)
            if not self._of_printer[printer_id]:
                del self._of_printer[printer_id]

    def ready(self, printer_id: UUID) -> Waiter | None:
        """The newest of a printer's waiting claims for which one may claim at once."""
        return next((one for one in reversed(self._of_printer.get(printer_id, ())) if one.offer), None)

    def ring(self, printer_id: UUID) -> None:
        """Something happened that this printer's claim may find."""
        for waiter in self._of_printer.get(printer_id, ()):
            waiter.ring()

    def on_commit(self, events: Sequence[tuple[str, UUID, UUID | None]]) -> None:
        """Events that this process has just committed: their types, organisations and printers (None: any)."""
        for type_, organisation_id, printer_id in events:
            if type_ not in WAKING:
                continue
            if printer_id is not None:
                self.ring(printer_id)
                continue
            free = [
                waiter
                for waiters in self._of_printer.values()
                for waiter in waiters
                if waiter.free and waiter.organisation_id == organisation_id and not waiter.is_rung
            ]
            for waiter in free[:AT_ONCE]:
                waiter.ring()

    def stop(self) -> None:
        """Answer them all."""
        self._stopping = True
        for waiters in self._of_printer.values():
            for waiter in waiters:
                waiter.end()


#: After these a claim that waits may find work.
WAKING = frozenset(
    {"job.created", "job.queued", "attempt.released", "attempt.completed", "attempt.failed", "printer.bed_cleared",
     "printer.updated"}
)  # fmt: skip
