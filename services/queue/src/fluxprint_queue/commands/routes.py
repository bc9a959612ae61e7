"""HTTP of commands."""

from typing import Annotated

from fastapi import APIRouter

from fluxprint_common.database import Reading
from fluxprint_common.openapi import problems
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_queue.commands import repository
from fluxprint_queue.commands.schemas import Command
from fluxprint_queue.commands.service import CommandNotFound
from fluxprint_queue.ids import CommandId

router = APIRouter(prefix="/commands", tags=["commands"])

Reader = Annotated[Principal, require(Permission.PRINTERS_READ)]


@router.get("/{command_id}", summary="Get a command", response_model=Command, responses=problems(401, 403, 404))
async def get_command(session: Reading, principal: Reader, command_id: CommandId) -> Command:
    """One command and its result."""
    found = await repository.find(session, principal, command_id)
    if found is None:
        raise CommandNotFound
    return Command.model_validate(found)
