"""HTTP of standing, for the other services only: Traefik does not reach it."""

from fastapi import APIRouter

from fluxprint_auth.standing import service
from fluxprint_auth.standing.schemas import GroundAllows, StandingAnswer, StandingRequest
from fluxprint_common.database import Reading
from fluxprint_common.standing import PATH, Ground, Standing

router = APIRouter()


@router.post(PATH)
async def list_standings(session: Reading, body: StandingRequest) -> StandingAnswer:
    """What each of these allows now."""
    standings = [await service.standing_of(session, Ground(**dict(ground))) for ground in body.grounds]
    return StandingAnswer(standings=[_show(standing) for standing in standings])


def _show(standing: Standing | None) -> GroundAllows | None:
    if standing is None:
        return None
    printers = standing.printers
    return GroundAllows(
        permissions=sorted(standing.permissions),
        printers=None if printers is None else [printer.hex for printer in printers],
    )
