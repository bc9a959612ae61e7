"""HTTP of observations: for the camera service, inside the network only."""

from fastapi import APIRouter, Request

from fluxprint_common.database import Session
from fluxprint_queue.idempotency.service import once
from fluxprint_queue.observations import service
from fluxprint_queue.observations.schemas import Observation, Observed

router = APIRouter()


@router.post("/internal/observations")
async def take_in_observation(request: Request, session: Session, body: Observation) -> Observed:
    """An event of what a camera shows, and a pause where one is asked for: once, however often it is told."""
    return await once(
        session,
        subject_id=body.id,
        operation="take_in_observation",
        key="end" if body.has_ended else "begin",
        body=body,
        answer_type=Observed,
        work=lambda: service.take_in(session, request.app.state.settings, body),
    )
