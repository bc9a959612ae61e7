"""Rules of printers."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import new_id, show
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Conflict, Forbidden, NotFound, ServiceError
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.attempts.states import LIVE, PERMITTED, AttemptState
from fluxprint_queue.events import repository as events
from fluxprint_queue.jobs import repository as jobs
from fluxprint_queue.printers import repository
from fluxprint_queue.printers.models import Printer
from fluxprint_queue.printers.schemas import BedCleared, PrinterCreate, PrinterUpdate
from fluxprint_queue.printers.states import BedState


class PrinterNotFound(NotFound):
    """There is no such printer, or it is not yours"""

    code = "printer_not_found"


class PrinterNameTaken(Conflict):
    """Another printer of your organisation has this name"""

    code = "printer_name_taken"


class PrinterBusy(Conflict):
    """The printer has a print that has not ended"""

    code = "printer_busy"


class PrinterWanted(Conflict):
    """Jobs wait for this very printer; cancel them first"""

    code = "printer_has_jobs"


class BedChanged(Conflict):
    """The bed is not occupied by that print; look at the printer again"""

    code = "bed_changed"


class VersionMissing(ServiceError):
    """Send If-Match with the ETag of the printer that you read"""

    status, code = 428, "precondition_required"


class VersionStale(ServiceError):
    """Somebody changed the printer meanwhile; read it again"""

    status, code = 412, "precondition_failed"


def note(session: AsyncSession, printer: Printer, what: str, **data: object) -> None:
    """Leave an event about a printer."""
    events.append(
        session,
        f"printer.{what}",
        subject=show("printer", printer.id),
        organisation_id=printer.organisation_id,
        printer_id=printer.id,
        data=data,
    )


class LimitedToPrinters(Forbidden):
    """This API key is for the printers that it names; it adds no others"""

    code = "limited_to_printers"


def check_may_add(principal: Principal) -> None:
    """Refuse a key for named printers: no new one is among them. Raises: LimitedToPrinters"""
    if principal.printers is not None:
        raise LimitedToPrinters


async def create(session: AsyncSession, principal: Principal, body: PrinterCreate) -> Printer:
    """Add a printer. Its bed is taken for occupied unless somebody says that it is clear."""
    printer = Printer(
        id=new_id(),
        organisation_id=principal.organisation_id,
        bridge_id=body.bridge_id,
        name=body.name,
        model=body.model,
        enabled=True,
        bed_state=BedState.CLEAR if body.bed_is_clear else BedState.OCCUPIED,
    )
    session.add(printer)
    await session.flush()
    note(session, printer, "created", name=printer.name)
    return printer


async def get(session: AsyncSession, principal: Principal, printer_id: UUID, *, lock: bool = False) -> Printer:
    """One printer. Raises: PrinterNotFound"""
    printer = await repository.find(session, principal, printer_id, lock=lock)
    if printer is None:
        raise PrinterNotFound
    return printer


def etag(printer: Printer) -> str:
    """The strong ETag of what people can change about a printer."""
    return f'"{printer.id.hex[-12:]}-{printer.version}"'


async def change(
    session: AsyncSession, principal: Principal, printer_id: UUID, body: PrinterUpdate, *, if_match: str | None
) -> Printer:
    """Change name, model, bridge, or whether it takes work.

    Raises:
        PrinterNotFound, VersionMissing, VersionStale. PrinterBusy: its bridge is needed for a print.
    """
    if if_match is None:
        raise VersionMissing
    printer = await get(session, principal, printer_id, lock=True)
    if if_match != etag(printer):
        raise VersionStale
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    if body.bridge_id not in (None, printer.bridge_id) and await attempts.live_on_printer(session, printer.id, LIVE):
        raise PrinterBusy("A printer changes its bridge only while it has no print that has not ended.")
    for name, value in changes.items():
        setattr(printer, name, value)
    printer.version += 1
    await session.flush()
    note(session, printer, "updated", changed=sorted(changes))
    return printer


async def remove(session: AsyncSession, principal: Principal, printer_id: UUID) -> None:
    """Delete a printer that prints nothing and that no job waits for.

    Raises:
        PrinterNotFound, PrinterBusy, PrinterWanted
    """
    printer = await get(session, principal, printer_id, lock=True)
    if await attempts.live_on_printer(session, printer.id, LIVE):
        raise PrinterBusy
    if await jobs.wait_for_printer(session, printer.id):
        raise PrinterWanted
    await repository.mark_deleted(session, printer.id)
    note(session, printer, "deleted")


async def bed_cleared(session: AsyncSession, principal: Principal, printer_id: UUID, body: BedCleared) -> Printer:
    """A person has taken the part off and looked.

    Raises:
        PrinterNotFound. BedChanged: another print occupies the bed. PrinterBusy: a print may still be running.
    """
    is_said = body.attempt_id is not None or body.changed_at is not None
    cleared = is_said and await repository.clear_bed(session, principal, printer_id, body.attempt_id, body.changed_at)
    if cleared:
        _note_cleared(session, principal, cleared)
        return cleared
    printer = await get(session, principal, printer_id)
    if printer.bed_attempt_id != body.attempt_id:
        raise BedChanged
    if (body.changed_at or body.attempt_id is None) and body.changed_at != printer.bed_changed_at:
        raise BedChanged("Say bed.changed_at as the printer shows it now: something may have been printed since.")
    if printer.bed_state != BedState.CLEAR or await attempts.live_on_printer(session, printer.id, PERMITTED):
        raise PrinterBusy("A print on this printer has not ended; its outcome comes first.")
    return printer  # said before


async def clear_bed(session: AsyncSession, principal: Principal, printer: Printer) -> None:
    """A person confirmed the bed of a locked printer."""
    await repository.set_bed(session, printer.id, BedState.CLEAR, None)
    _note_cleared(session, principal, printer)


def _note_cleared(session: AsyncSession, principal: Principal, printer: Printer) -> None:
    note(session, printer, "bed_cleared", by=show("user", principal.subject))


async def foreign_print(session: AsyncSession, principal: Principal, printer_id: UUID, file_name: str) -> None:
    """A print that is not ours was seen: the bed is occupied by it. Raises: PrinterNotFound"""
    printer = await repository.find_of_bridge(session, principal, printer_id, lock=True)
    if printer is None:
        raise PrinterNotFound
    if not await attempts.live_on_printer(session, printer.id, {AttemptState.PRINTING, AttemptState.PAUSED}):
        # Also on an occupied bed: a confirmation for what lay there before must not clear this. Also for an attempt
        # that was not seen to print: if it was not started yet, its permit holds no more.
        await repository.set_bed(session, printer.id, BedState.OCCUPIED, None)
        note(session, printer, "bed_occupied", file_name=file_name)
