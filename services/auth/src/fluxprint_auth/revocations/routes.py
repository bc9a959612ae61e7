"""HTTP of revocations, for the other services only: Traefik does not reach it."""

from typing import Annotated

from fastapi import APIRouter, Query

from fluxprint_auth.revocations import service
from fluxprint_auth.revocations.schemas import RevocationBatch
from fluxprint_common import revocations
from fluxprint_common.database import Reading

router = APIRouter()


@router.get(revocations.PATH)
async def list_revocations(session: Reading, after: Annotated[int, Query(ge=0, lt=2**63)] = 0) -> RevocationBatch:
    """What was revoked behind a position, and the position to go on from."""
    batch = await service.read(session, after)
    return RevocationBatch.model_validate(
        {**revocations.message(batch.revocations), "after": batch.after, "more": batch.more}
    )
