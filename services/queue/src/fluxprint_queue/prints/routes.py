"""HTTP of prints, for the other services only: Traefik does not reach it."""

from fastapi import APIRouter, Request

from fluxprint_common.database import Reading
from fluxprint_common.prints import PATH, Prints, PrintsQuery
from fluxprint_queue.prints import repository, service

router = APIRouter()


@router.post(PATH)
async def list_prints(request: Request, session: Reading, query: PrintsQuery) -> Prints:
    """What goes on in all organisations; a POST because of the many ids that may be asked for."""
    return Prints(
        prints=await service.read(session, request.app.state.telemetry, query.attempt_ids),
        bridges=await repository.bridges(session, query.printer_ids) if query.printer_ids else {},
    )
