"""SQL of printers."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.principal import Principal
from fluxprint_queue.printers.models import Printer
from fluxprint_queue.printers.states import BedState, Connection


def readable(principal: Principal) -> Select[Printer]:
    """The printers that a principal may see."""
    return select(Printer).where(Printer.organisation_id == principal.organisation_id, Printer.deleted_at.is_(None))


def of_bridge(principal: Principal) -> Select[Printer]:
    """The printers of the bridge whose token this is: its own, in its own organisation."""
    return readable(principal).where(Printer.bridge_id == principal.subject)


async def find(session: AsyncSession, principal: Principal, printer_id: UUID, *, lock: bool = False) -> Printer | None:
    statement = readable(principal).where(Printer.id == printer_id)
    return await session.scalar(statement.with_for_update(key_share=True) if lock else statement)


async def find_of_bridge(
    session: AsyncSession, principal: Principal, printer_id: UUID, *, lock: bool = False
) -> Printer | None:
    statement = of_bridge(principal).where(Printer.id == printer_id)
    return await session.scalar(statement.with_for_update(key_share=True) if lock else statement)


async def list_page(
    session: AsyncSession, principal: Principal, *, before: UUID | None, limit: int
) -> Sequence[Printer]:
    """Newest first."""
    statement = readable(principal).order_by(Printer.id.desc()).limit(limit)
    return (await session.scalars(statement.where(Printer.id < before) if before else statement)).all()


async def list_of_bridge(session: AsyncSession, principal: Principal) -> Sequence[Printer]:
    return (await session.scalars(of_bridge(principal).order_by(Printer.id).limit(500))).all()


async def set_bed(session: AsyncSession, printer_id: UUID, state: BedState, attempt_id: UUID | None) -> None:
    await session.execute(
        update(Printer)
        .where(Printer.id == printer_id)
        .values(bed_state=state, bed_attempt_id=attempt_id, bed_changed_at=func.now())
    )


async def owners(session: AsyncSession, printer_ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, UUID]]:
    """Bridge and organisation of some printers."""
    rows = await session.execute(
        select(Printer.id, Printer.bridge_id, Printer.organisation_id).where(
            Printer.id.in_(printer_ids), Printer.deleted_at.is_(None)
        )
    )
    return {row.id: (row.bridge_id, row.organisation_id) for row in rows}


async def bridges_of(session: AsyncSession, organisation_ids: Sequence[UUID]) -> dict[UUID, set[UUID]]:
    """The bridges that have printers, by organisation."""
    rows = await session.execute(
        select(Printer.organisation_id, Printer.bridge_id)
        .where(Printer.organisation_id.in_(organisation_ids), Printer.deleted_at.is_(None))
        .distinct()
    )
    found: dict[UUID, set[UUID]] = {}
    for row in rows:
        found.setdefault(row.organisation_id, set()).add(row.bridge_id)
    return found


async def save_telemetry(
    session: AsyncSession, printer_id: UUID, connection: Connection, telemetry: dict[str, object]
) -> Printer | None:
    """Keep the newest telemetry; the printer where its connection changed by it."""
    before = await session.scalar(
        select(Printer.connection)
        .where(Printer.id == printer_id, Printer.deleted_at.is_(None))
        .with_for_update(key_share=True)
    )
    if before is None:
        return None
    printer = await session.scalar(
        update(Printer)
        .where(Printer.id == printer_id)
        .values(connection=connection, telemetry=telemetry, last_seen_at=func.now())
        .returning(Printer)
    )
    return printer if before != connection else None


async def mark_silent_offline(session: AsyncSession, *, after_s: int) -> Sequence[Printer]:
    """The printers from which nothing was heard for so long; they are offline now."""
    silent = Printer.last_seen_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, after_s)
    statement = (
        update(Printer).where(Printer.connection != Connection.OFFLINE, silent).values(connection=Connection.OFFLINE)
    )
    return (await session.scalars(statement.returning(Printer))).all()


async def mark_deleted(session: AsyncSession, printer_id: UUID) -> None:
    await session.execute(update(Printer).where(Printer.id == printer_id).values(deleted_at=func.now()))
