"""SQL of printers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import Select, bindparam, case, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from fluxprint_common.principal import Principal
from fluxprint_queue.attempts.models import states_sql
from fluxprint_queue.attempts.states import PERMITTED
from fluxprint_queue.printers.models import Printer
from fluxprint_queue.printers.states import BedState, Connection

_SAVE = (
    update(Printer)
    .where(Printer.id == bindparam("printer_id"))
    .values(
        connection=bindparam("new_connection"),
        connection_since=case(
            (Printer.connection == bindparam("new_connection"), Printer.connection_since), else_=func.now()
        ),
        telemetry=bindparam("new_telemetry"),
        last_seen_at=func.now(),
    )
)

# One statement checks and clears. What a permit was given for lies on the bed by the permit's own transaction: where
# that came while this waited for the row, the row says so, and the confirmation is for something else.
_CLEAR_BED = text(
    f"""
    UPDATE queue.printer p SET bed_state = '{BedState.CLEAR}', bed_attempt_id = NULL, bed_changed_at = now()
     WHERE p.id = :printer_id AND p.organisation_id = :organisation_id AND p.deleted_at IS NULL
       AND (CAST(:printers AS uuid[]) IS NULL OR p.id = ANY (CAST(:printers AS uuid[])))
       AND p.bed_state = '{BedState.OCCUPIED}' AND p.bed_attempt_id IS NOT DISTINCT FROM CAST(:attempt_id AS uuid)
       AND (CAST(:changed_at AS timestamptz) IS NULL OR p.bed_changed_at = :changed_at)
       AND NOT EXISTS (SELECT FROM queue.attempt a WHERE a.printer_id = p.id AND a.state IN {states_sql(PERMITTED)})
    RETURNING p.*
    """  # noqa: S608  (only our own state names are put together)
)


def readable(principal: Principal) -> Select[Printer]:
    """The printers that a principal may see."""
    statement = select(Printer).where(
        Printer.organisation_id == principal.organisation_id, Printer.deleted_at.is_(None)
    )
    return statement if principal.printers is None else statement.where(Printer.id.in_(principal.printers))


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
    """What lies on a locked printer's bed now; a `Printer` of this session shows it."""
    await session.execute(
        update(Printer)
        .where(Printer.id == printer_id)
        .values(bed_state=state, bed_attempt_id=attempt_id, bed_changed_at=func.now())
        .returning(Printer)
        .execution_options(populate_existing=True, synchronize_session=False)
    )


async def clear_bed(
    session: AsyncSession, principal: Principal, printer_id: UUID, attempt_id: UUID | None, changed_at: datetime | None
) -> Printer | None:
    """A person confirmed the bed that is occupied by an attempt (None: by something else), since `changed_at` if given.

    None where it is not so (any more), or what a permit was given for has not ended.
    """
    found: Printer | None = await session.scalar(
        select(Printer).from_statement(_CLEAR_BED),
        {
            "printer_id": printer_id,
            "organisation_id": principal.organisation_id,
            "printers": principal.printers and list(principal.printers),
            "attempt_id": attempt_id,
            "changed_at": changed_at,
        },
        execution_options={"populate_existing": True},
    )
    return found


async def owners(session: AsyncSession, printer_ids: Sequence[UUID]) -> dict[UUID, tuple[UUID, UUID]]:
    """Bridge and organisation of some printers."""
    rows = await session.execute(
        select(Printer.id, Printer.bridge_id, Printer.organisation_id).where(
            Printer.id.in_(printer_ids), Printer.deleted_at.is_(None)
        )
    )
    return {row.id: (row.bridge_id, row.organisation_id) for row in rows}


async def save_telemetry(
    session: AsyncSession, newest: Mapping[UUID, tuple[Connection, Mapping[str, object]]]
) -> Sequence[Printer]:
    """Keep some printers' newest connection and telemetry; the printers whose connection changed by it."""
    found = await session.scalars(
        select(Printer)
        .options(defer(Printer.telemetry))
        .where(Printer.id.in_(newest), Printer.deleted_at.is_(None))
        .order_by(Printer.id)
        .with_for_update(key_share=True)
    )
    rows = found.all()
    if rows:
        connection = await session.connection()
        new = [(row.id, *newest[row.id]) for row in rows]
        await connection.execute(_SAVE, [{"printer_id": i, "new_connection": c, "new_telemetry": t} for i, c, t in new])
    return [row for row in rows if row.connection != newest[row.id][0]]


async def mark_silent_offline(session: AsyncSession, *, after_s: int) -> Sequence[Printer]:
    """The printers from which nothing was heard for so long; they are offline now."""
    silent = Printer.last_seen_at < func.now() - func.make_interval(0, 0, 0, 0, 0, 0, after_s)
    # One that is locked is being heard from, or looked at again soon; waiting for it in another order than
    # `save_telemetry` locks would be a deadlock.
    found = (
        select(Printer.id)
        .where(Printer.connection != Connection.OFFLINE, silent)
        .with_for_update(key_share=True, skip_locked=True)
    )
    statement = (
        update(Printer).where(Printer.id.in_(found)).values(connection=Connection.OFFLINE, connection_since=func.now())
    )
    return (await session.scalars(statement.returning(Printer))).all()


async def mark_deleted(session: AsyncSession, printer_id: UUID) -> None:
    await session.execute(update(Printer).where(Printer.id == printer_id).values(deleted_at=func.now()))
