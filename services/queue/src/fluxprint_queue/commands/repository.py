"""SQL of commands."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, func, literal, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.principal import Principal
from fluxprint_queue.attempts.models import Attempt
from fluxprint_queue.commands.models import Command
from fluxprint_queue.commands.states import CommandKind, CommandState

# Written into the statement: a plan that is kept for any parameters could not use the partial indexes.
_PENDING = Command.state == literal(CommandState.PENDING, literal_execute=True)


def readable(principal: Principal) -> Select[Command]:
    """The commands of an organisation; for a key for named printers those for them."""
    statement = select(Command).where(Command.organisation_id == principal.organisation_id)
    return statement if principal.printers is None else statement.where(Command.printer_id.in_(principal.printers))


async def find(session: AsyncSession, principal: Principal, command_id: UUID) -> Command | None:
    return await session.scalar(readable(principal).where(Command.id == command_id))


async def find_of_bridge(session: AsyncSession, principal: Principal, command_id: UUID) -> Command | None:
    """A command for an attempt of this bridge, locked."""
    statement = readable(principal).join(Attempt, Attempt.id == Command.attempt_id)
    statement = statement.where(Command.id == command_id, Attempt.bridge_id == principal.subject)
    return await session.scalar(statement.with_for_update(of=Command, key_share=True))


async def pending(session: AsyncSession, attempt_id: UUID, kind: CommandKind) -> Command | None:
    """The command of this kind that waits for an attempt. The attempt is locked."""
    return await session.scalar(select(Command).where(Command.attempt_id == attempt_id, Command.kind == kind, _PENDING))


async def pending_of_printer(
    session: AsyncSession, principal: Principal, printer_id: UUID
) -> Sequence[tuple[Command, int]]:
    """What waits for a printer of this bridge, oldest first, with the seconds that are left."""
    left = func.extract("epoch", Command.deadline_at - func.now())
    rows = await session.execute(
        select(Command, left)
        .join(Attempt, Attempt.id == Command.attempt_id)
        .where(
            Command.printer_id == printer_id,
            Command.organisation_id == principal.organisation_id,
            Attempt.bridge_id == principal.subject,
            _PENDING,
            Command.deadline_at > func.now(),
        )
        .order_by(Command.id)
        .limit(100)
    )
    return [(row[0], int(row[1])) for row in rows]


async def pending_of_attempt(session: AsyncSession, attempt_id: UUID) -> Sequence[Command]:
    """What waits for an attempt, locked."""
    statement = select(Command).where(Command.attempt_id == attempt_id, _PENDING).order_by(Command.id)
    return (await session.scalars(statement.with_for_update(key_share=True))).all()


async def expire(session: AsyncSession) -> Sequence[Command]:
    """End the commands whose deadline has passed."""
    statement = update(Command).where(_PENDING, Command.deadline_at < func.now())
    ended = statement.values(
        state=CommandState.EXPIRED, detail="The bridge did not carry it out in time.", ended_at=func.now()
    )
    return (await session.scalars(ended.returning(Command))).all()
