"""Brings the next job's file to OctoPrint while the printer prints or waits for its bed: docs/adr/0011-pre-staging.md.

Nothing here starts, selects or claims anything. A staged file saves a claim its transfer, and is looked at before that.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudError
from fluxprint_bridge.cloud.schemas import AssignedFile, Assignment, NextFile
from fluxprint_bridge.foreign_print import OVER
from fluxprint_bridge.octoprint.errors import Conflict, OctoPrintError, Unavailable
from fluxprint_bridge.octoprint.state import PrinterState, StoredFile
from fluxprint_bridge.printer.desk import Desk, Phase, Work
from fluxprint_bridge.printer.foreign import notice
from fluxprint_bridge.printer.pruning import Pruner
from fluxprint_bridge.printer.recovery import print_path
from fluxprint_bridge.printer.starter import Look, look
from fluxprint_bridge.printer.transfer import PRINTED_BY_HAND, LocalFile, TransferFailed, fetch, store, transfer
from fluxprint_bridge.staged import StagedFile
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

TICK_S = 1.0  #: each looks only at what is in memory
LOOK_S = 30.0  #: while something prints or is staged: what is next may change without a doorbell
IDLE_LOOK_S = 300.0
IDLE_SPREAD_S = 2.0
MAX_BACKOFF_S = 300.0
_AT_WORK = frozenset({PrinterState.PRINTING, PrinterState.PAUSED})


@dataclass(frozen=True)
class Glance:
    """What OctoPrint said of a staged file and of its printer while the claim was on its way."""

    path: str
    file: StoredFile | None
    look: Look

    @property
    def printed_by_hand(self) -> bool:
        """Unless an attempt has claimed it."""
        return self.file is not None and self.file.prints.any


async def glance_at(desk: Desk, staged: StagedFile | None) -> Glance | None:
    """Look early; None where there is nothing to look at, or OctoPrint does not answer."""
    if staged is None or staged.sha1 is None:
        return None
    try:
        return Glance(staged.path, await desk.octoprint.file(staged.path), await look(desk))
    except OctoPrintError:
        return None


async def bring(desk: Desk, work: Work, assignment: Assignment, glance: Glance | None) -> Look | None:
    """Have the file of a claimed attempt in OctoPrint; a look at the printer that was made meanwhile, if there was one.

    Raises `TransferFailed`, `CloudRefused` and `KeyRefused`.
    """
    async with desk.files_first():
        staged = await desk.shelf.of_attempt(work.attempt.id)
        if staged is not None and staged.path == work.attempt.path and staged.sha1 is not None:
            # A removal that had begun before the claim is over by now, and the row says so.
            fresh = glance is not None and glance.path == staged.path and not staged.unwanted
            if _is_whole(staged, glance.file if glance is not None and fresh else await _found(desk, staged)):
                return glance.look if fresh and glance is not None else None
        looks: list[asyncio.Task[Look | None]] = []
        try:
            await transfer(
                desk.api, desk.octoprint, assignment,
                spool=desk.spool, to=work.attempt.path,
                arrived=lambda: looks.append(asyncio.create_task(_look_beside(desk))),
            )  # fmt: skip
            return await looks[-1] if looks else None
        finally:
            for looking in looks:
                looking.cancel()


async def _look_beside(desk: Desk) -> Look | None:
    """A look while the file is read back."""
    try:
        return await look(desk)
    except OctoPrintError:
        return None


async def _found(desk: Desk, staged: StagedFile) -> StoredFile | None:
    """OctoPrint's description of a staged file; None where a transfer will wait for it, and overwrites nothing."""
    try:
        return await desk.octoprint.file(staged.path)
    except Unavailable:
        return None


def _is_whole(staged: StagedFile, found: StoredFile | None) -> bool:
    """Whether OctoPrint holds what was brought; False where nothing is in the way of bringing it again.

    Raises `TransferFailed` where this path can't be used.
    """
    if found is None:
        log.warning("staged_file_is_gone", path=staged.path)
        return False
    if found.prints.any:
        raise TransferFailed(PRINTED_BY_HAND, f"Somebody printed {staged.path} in OctoPrint by hand.")
    if (found.size_bytes, found.sha1) != (staged.size_bytes, staged.sha1):
        raise TransferFailed("staged_file_changed", f"OctoPrint's copy at {staged.path} is not what was sent any more.")
    return True


class Stager:
    """Run `run()` under a supervisor."""

    def __init__(self, desk: Desk, *, after_s: float, keep_files_days: float) -> None:
        """`after_s`: how long a print runs before anything is brought to its OctoPrint."""
        self._desk = desk
        self._after_s = after_s
        self._pruner = Pruner(desk, keep_days=keep_files_days)
        self._work: Work | None = None
        self._due_at = 0.0
        self._failures = 0

    async def run(self) -> None:
        """Stage and tidy for ever."""
        await self._desk.shelf.discard_cut()
        while True:
            await asyncio.sleep(TICK_S)
            self._hear()
            if not self._is_calm():
                continue
            try:
                await self._step()
            except (CloudError, OctoPrintError, TransferFailed, OSError) as error:
                self._failures += 1
                self._due_at = clock.now() + backoff_s(self._failures + 2, cap_s=MAX_BACKOFF_S)
                log.warning("staging_failed", error=str(error)[:300])

    def _hear(self) -> None:
        """Look soon where something has changed; printers that only wait look one after the other."""
        desk, now = self._desk, clock.now()
        if desk.work is not self._work:
            self._work, self._due_at = desk.work, now
        if desk.stage_bell.is_set():
            desk.stage_bell.clear()
            delay_s = 0.0 if desk.work is not None else random.uniform(0, IDLE_SPREAD_S)  # noqa: S311  (spreads load)
            self._due_at = min(self._due_at, now + delay_s)

    def _is_calm(self) -> bool:
        """Whether a print is well on its way, or the printer waits and nothing was there to be claimed."""
        desk, job, work = self._desk, self._desk.monitor.snapshot.job, self._desk.work
        if job is None or desk.problem is not None or desk.standing_back or desk.hurry.is_set():
            return False
        if work is None:
            return job.state is PrinterState.IDLE and desk.nothing_to_claim
        if work.phase is not Phase.STARTED or not job.is_of(work.attempt.path) or job.state not in _AT_WORK:
            return False
        return (job.print_time_s or 0.0) >= self._after_s

    async def _step(self) -> None:
        """One thing of a bounded size: look what is next and bring it, or tidy a little."""
        if clock.now() < self._due_at:
            await self._pruner.step()
            return
        wanted = await self._desk.api.next_file(self._desk.printer_id)
        staged = await self._still_wanted(wanted)
        removed = [await self._remove(file) for file in await self._desk.shelf.unwanted()]
        if wanted is not None and (staged is None or staged.sha1 is None):
            await self._stage(wanted, staged)
        self._failures = 0
        busy = wanted is not None or self._desk.work is not None
        self._due_at = clock.now() + ((LOOK_S if busy else IDLE_LOOK_S) if all(removed) else TICK_S)

    async def _still_wanted(self, wanted: NextFile | None) -> StagedFile | None:
        """What is staged already, if it is what is next and unharmed; else it is to be removed."""
        staged = await self._desk.shelf.file()
        if staged is None:
            return None
        if wanted is not None and _holds(staged, wanted.file):
            try:
                if staged.sha1 is None or _is_whole(staged, await self._desk.octoprint.file(staged.path)):
                    return staged
            except TransferFailed as failed:
                log.warning("staged_file_spoiled", path=staged.path, problem=str(failed))
                if failed.reason == PRINTED_BY_HAND:
                    await notice(self._desk, staged.path, run=OVER)
                    return None
        await self._desk.shelf.discard(staged.attempt_id)
        self._desk.ask_again.set()
        return None

    async def _stage(self, wanted: NextFile, begun: StagedFile | None) -> None:
        """Bring a file to OctoPrint, or go on with one whose download was broken off."""
        desk = self._desk
        async with desk.storing:
            file = begun or StagedFile(
                attempt_id=wanted.attempt_id,
                path=print_path(wanted.attempt_id, wanted.file.extension),
                sha256=wanted.file.sha256,
                size_bytes=wanted.file.size_bytes,
            )
            if begun is None:
                await desk.shelf.put(file)
            part = desk.spool / f"{file.attempt_id}.part"
            try:
                local = await self._fetched(wanted.file, part)
                if local is None or desk.hurry.is_set():
                    return  # whoever claimed it goes on with the part
                await store(desk.octoprint, local, file.path, called_off=desk.hurry.is_set)
            except BaseException:
                await desk.shelf.discard(file.attempt_id)
                part.unlink(missing_ok=True)
                raise
            await desk.shelf.whole(file.attempt_id, sha1=local.sha1)
            desk.ask_again.set()
            part.unlink(missing_ok=True)
            log.info("staged", path=file.path, size_bytes=file.size_bytes)

    async def _fetched(self, wanted: AssignedFile, part: Path) -> LocalFile | None:
        """The file on this machine; None where claimed work came in between."""
        desk = self._desk

        async def hurried() -> None:
            await desk.hurry.wait()

        download = partial(desk.api.download_ahead, desk.printer_id, wanted.sha256)
        return await until_first(fetch(download, wanted, part), hurried())

    async def _remove(self, file: StagedFile) -> bool:
        """Take a file that nobody wants out of OctoPrint, unless an attempt has it, or somebody printed it by hand.

        False: later, for its permit may be on the way.
        """
        desk = self._desk
        if desk.offered == file.attempt_id:
            return False
        async with desk.storing:
            (desk.spool / f"{file.attempt_id}.part").unlink(missing_ok=True)
            claimed = await desk.journal.attempt(file.attempt_id) is not None
            found = None if claimed else await desk.octoprint.find(file.path)
            if found is None or not found.prints.any:
                if found is not None and desk.may_delete and (await desk.monitor.look()).path != file.path:
                    with contextlib.suppress(Conflict):  # selected at this very moment
                        await desk.octoprint.remove(file.path)
                        log.info("staged_file_removed", path=file.path)
                await desk.shelf.forget(file.attempt_id)
                return True
        await notice(desk, file.path, run=OVER)
        return True


def _holds(staged: StagedFile, wanted: AssignedFile) -> bool:
    return (staged.sha256, staged.path.rpartition(".")[2]) == (wanted.sha256, wanted.extension)
