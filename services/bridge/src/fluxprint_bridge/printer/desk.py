"""What the loops of one printer share."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.foreign_print import ForeignPrints
from fluxprint_bridge.journal import Attempt, Journal
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import KeyRefused
from fluxprint_bridge.octoprint.monitor import Monitor
from fluxprint_bridge.octoprint.state import PrinterState
from fluxprint_bridge.printer.lease import Lease
from fluxprint_bridge.printer.notes import Notes
from fluxprint_bridge.printer.outbox import Outbox
from fluxprint_bridge.staged import Shelf


class Phase(StrEnum):
    PREPARING = "preparing"  #: nothing physical has happened
    STARTED = "started"  #: start may have been pressed


@dataclass
class Work:
    """The attempt in hand. `changed` is set, and replaced, when its phase changes or it ends."""

    attempt: Attempt
    phase: Phase = Phase.PREPARING
    lease: Lease | None = None
    permit_asked: bool = False  #: from then on only the queue knows whether the attempt can be given back
    pressed: bool = False  #: the start request may have gone out
    foreign_prints: int = 0  #: the desk's count then: one more, and the bed may not be clear any more
    cancel_wanted: bool = False  #: before the start: then it is never pressed
    notes: Notes = field(default_factory=Notes)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def to(self, phase: Phase) -> None:
        self.phase = phase
        self.tell()

    def tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


@dataclass
class Desk:
    """One printer's OctoPrint, its share of the journal and of the cloud, and its bells."""

    printer_id: str
    octoprint: OctoPrintClient
    monitor: Monitor
    journal: Journal
    api: CloudApi
    outbox: Outbox
    shelf: Shelf
    foreign: ForeignPrints
    spool: Path
    poll_s: float
    #: One control request at a time: OctoPrint has no lock of its own, and two starts tear a print apart.
    control: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: One transfer or removal at a time; and claimed work, which breaks off a download ahead of time.
    storing: asyncio.Lock = field(default_factory=asyncio.Lock)
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    work: Work | None = None  #: set by `take_in_hand`
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    command_bell: asyncio.Event = field(default_factory=asyncio.Event)
    stage_bell: asyncio.Event = field(default_factory=asyncio.Event)
    #: A claim of this process was answered, so the journal knows the printer's live attempt; and the last brought none.
    asked: bool = False
    nothing_to_claim: bool = False
    #: What is staged or wanted has changed: a claim that waits says something else now.
    ask_again: asyncio.Event = field(default_factory=asyncio.Event)
    #: The staged file that a claim may be given a permit for: it stays where it is.
    offered: str | None = None
    #: Set while no print that is not ours waits to be told to the queue; and how many were seen.
    foreign_told: asyncio.Event = field(default_factory=asyncio.Event)
    foreign_prints: int = 0
    #: One is told at a time, and not before this moment (`clock.now`): an OctoPrint may tell of many a second.
    telling: asyncio.Lock = field(default_factory=asyncio.Lock)
    tell_at: float = 0.0
    #: What of the printer's state was looked at for prints that are not ours (`foreign.gist`). The event is set, and
    #: replaced, when that changes.
    handled: tuple[object, ...] | None = None
    looked_back: asyncio.Event = field(default_factory=asyncio.Event)
    #: Paths shaped like ours whose attempt the queue does not give us: somebody prints them by hand.
    disowned: set[str] = field(default_factory=set)
    #: Another process works with this bridge's token: nothing new is taken on.
    standing_back: bool = False
    #: What a person has to put right about OctoPrint before anything is claimed.
    problem: str | None = "OctoPrint was not asked yet."
    probe_now: asyncio.Event = field(default_factory=asyncio.Event)
    may_delete: bool = False  #: OctoPrint lets us remove files

    @property
    def state(self) -> tuple[PrinterState, str | None] | None:
        """The printer's state and selected file, as far as is known."""
        job = self.monitor.snapshot.job
        return (job.state, job.path) if job is not None else None

    def has_handled(self, gist: tuple[object, ...]) -> None:
        """A state of the printer was looked at for prints that are not ours, and what there was is told."""
        self.handled = gist
        looked_back, self.looked_back = self.looked_back, asyncio.Event()
        looked_back.set()

    def take_in_hand(self, work: Work, *, new: bool = False) -> None:
        """Commands for it may wait already, unless it was just claimed."""
        self.work = work
        if not new:
            self.command_bell.set()

    @asynccontextmanager
    async def files_first(self) -> AsyncIterator[None]:
        """The files are for claimed work: a download ahead of time is broken off, an upload or a removal ends first."""
        self.hurry.set()
        try:
            async with self.storing:
                yield
        finally:
            self.hurry.clear()

    def ring(self, reason: str) -> None:
        """A doorbell for this printer: look now."""
        if reason == "stage":
            self.stage_bell.set()
            return
        if reason != "work":
            self.command_bell.set()
            if self.work is not None and self.work.lease is not None:
                self.work.lease.check_soon()
        if reason != "command":
            self.bell.set()
            self.stage_bell.set()

    def doubt_key(self, refused: KeyRefused) -> None:
        """OctoPrint refused the key: claim nothing more until it was probed again."""
        self.problem = str(refused)
        self.probe_now.set()

    async def report(
        self,
        attempt: Attempt,
        kind: str,
        *,
        reason: str | None = None,
        detail: str | None = None,
        evidence: dict[str, object] | None = None,
    ) -> Attempt:
        """Write a report into the journal; the outbox delivers it. Returns the attempt as it stands then."""
        reported = await self.journal.report(attempt.id, kind, reason=reason, detail=detail, evidence=evidence)
        self.outbox.post()
        return reported
