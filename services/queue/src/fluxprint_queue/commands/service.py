"""Rules of commands: durable orders with a deadline and a result."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.ids import new_id, show
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound
from fluxprint_queue.attempts.models import Attempt
from fluxprint_queue.commands import repository
from fluxprint_queue.commands.models import Command
from fluxprint_queue.commands.states import CommandKind, CommandState
from fluxprint_queue.database import utc_now
from fluxprint_queue.events import repository as events

#: A cancel waits for its bridge: who asked for it does not want the print to go on when the bridge is back.
CANCEL_DEADLINE_S = 7 * 24 * 3600


class CommandNotFound(NotFound):
    """There is no such command, or it is not yours"""

    code = "command_not_found"


async def give(
    session: AsyncSession, attempt: Attempt, kind: CommandKind, principal: Principal, *, deadline_s: int
) -> Command:
    """Order something for a locked attempt; the one that waits already where there is one."""
    waiting = await repository.pending(session, attempt.id, kind)
    if waiting is not None:
        return waiting
    command = Command(
        id=new_id(),
        organisation_id=attempt.organisation_id,
        printer_id=attempt.printer_id,
        attempt_id=attempt.id,
        kind=kind,
        state=CommandState.PENDING,
        created_by=principal.subject,
        deadline_at=utc_now() + timedelta(seconds=deadline_s),
    )
    session.add(command)
    await session.flush()
    note(session, command, "created")
    return command


async def finish(
    session: AsyncSession, principal: Principal, command_id: UUID, state: CommandState, detail: str | None
) -> None:
    """Take in a command's result; a repeated or late one changes nothing. Raises: CommandNotFound"""
    command = await repository.find_of_bridge(session, principal, command_id)
    if command is None:
        raise CommandNotFound
    if command.state == CommandState.PENDING:
        command.state, command.detail = state, detail
        command.ended_at = utc_now()
        note(session, command, str(state))


async def end_of_attempt(session: AsyncSession, attempt_id: UUID, *, cancelled: bool) -> None:
    """The attempt ended: what still waits for it has succeeded (a cancel of a cancelled one) or come too late."""
    for command in await repository.pending_of_attempt(session, attempt_id):
        done = cancelled and command.kind == CommandKind.CANCEL
        command.state = CommandState.SUCCEEDED if done else CommandState.FAILED
        command.detail = None if done else "The print ended first."
        command.ended_at = utc_now()
        note(session, command, str(command.state))


async def expire(session: AsyncSession) -> None:
    """End what nobody carried out in time."""
    for command in await repository.expire(session):
        note(session, command, "expired")


def note(session: AsyncSession, command: Command, what: str) -> None:
    """Leave an event about a command."""
    events.append(
        session,
        f"command.{what}",
        subject=show("command", command.id),
        organisation_id=command.organisation_id,
        printer_id=command.printer_id,
        data={
            "kind": command.kind,
            "attempt_id": show("attempt", command.attempt_id),
            "printer_id": show("printer", command.printer_id),
            "detail": command.detail,
        },
    )
