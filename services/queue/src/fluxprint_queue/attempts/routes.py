"""HTTP of attempts, for people."""

from typing import Annotated

from fastapi import APIRouter, Request

from fluxprint_common.database import Reading, Session
from fluxprint_common.openapi import problems
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_queue.attempts import repository, resolution
from fluxprint_queue.attempts.errors import AttemptNotFound
from fluxprint_queue.attempts.schemas import Attempt, AttemptResolve
from fluxprint_queue.ids import AttemptId

router = APIRouter(prefix="/attempts", tags=["attempts"])

Reader = Annotated[Principal, require(Permission.PRINTERS_READ)]
Operator = Annotated[Principal, require(Permission.PRINTERS_OPERATE)]


@router.get("/{attempt_id}", summary="Get an attempt", response_model=Attempt, responses=problems(401, 403, 404))
async def get_attempt(session: Reading, principal: Reader, attempt_id: AttemptId) -> Attempt:
    """One attempt, with the evidence where its outcome had to be found out."""
    found = await repository.find(session, principal, attempt_id)
    if found is None:
        raise AttemptNotFound
    return Attempt.model_validate(found)


@router.post(
    "/{attempt_id}/resolve",
    summary="Resolve an unknown outcome",
    response_model=Attempt,
    responses=problems(401, 403, 404, 409),
)
async def resolve_attempt(
    request: Request, session: Session, principal: Operator, attempt_id: AttemptId, body: AttemptResolve
) -> Attempt:
    """Say what became of a print whose outcome is unknown or whose bridge is gone, and whether the bed is clear.

    The first decision counts: the same one again changes nothing, and another one is refused.
    """
    return Attempt.model_validate(
        await resolution.resolve(session, request.app.state.settings, principal, attempt_id, body)
    )
