"""Telling the queue service, whose feed of events shows everything: once, and for as long as it takes."""

from datetime import datetime, timedelta

import httpx
from pydantic import BaseModel, JsonValue, ValidationError

from fluxprint_camera.ids import AttemptId, CameraId, DecisionId, JobId
from fluxprint_camera.watching import repository
from fluxprint_camera.watching.kinds import Action, EndReason, Kind, Outcome
from fluxprint_camera.watching.models import Decision
from fluxprint_common.database import Database
from fluxprint_common.ids import OrganisationId, PrinterId, UserId, show
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

PATH = "/internal/observations"
TIMEOUT_S = 3.0
BATCH = 100

EVENTS = {
    Kind.FROZEN: "camera.frozen",
    Kind.BLACK: "camera.black",
    Kind.NO_PICTURE: "camera.no_picture",
    Kind.FAILURE: "camera.failure_suspected",
}
ENDED = "camera.trouble_ended"


class _Observation(BaseModel):
    """The body: the same one whenever a decision is told again."""

    id: DecisionId
    has_ended: bool
    organisation_id: OrganisationId
    printer_id: PrinterId
    camera_id: CameraId
    attempt_id: AttemptId | None
    job_id: JobId | None
    type: str
    data: dict[str, JsonValue]
    pause_for: UserId | None
    pause_until: datetime | None


class _Observed(BaseModel):
    outcome: Outcome


class Teller:
    """Reads what the queue service has not heard of, and tells it in the order in which it was seen.

    Two replicas may tell the same: the queue service takes each in once.
    """

    def __init__(self, database: Database, http: httpx.AsyncClient, queue_url: str, *, pause_within_s: float) -> None:
        self._database = database
        self._http = http
        self._url = f"{queue_url}{PATH}"
        self._pause_within = timedelta(seconds=pause_within_s)

    async def tell(self) -> None:
        """Tell all that waits.

        Raises:
            httpx.HTTPError: the queue service does not answer, or not to one of them; what was not told is told later.
        """
        failed: httpx.HTTPStatusError | None = None
        async with self._database.reading() as session:
            waiting = await repository.untold(session, limit=BATCH)
        for decision in waiting:
            try:
                await self._tell_one(decision)
            except httpx.HTTPStatusError as error:  # the others need not wait for this one
                failed = error
        if failed is not None:
            raise failed

    async def _tell_one(self, decision: Decision) -> None:
        if decision.told_at is None:
            outcome = await self._say(decision, has_ended=False)
            async with self._database.unit_of_work() as session:
                await repository.told(session, decision.id, outcome=outcome)
                if outcome is Outcome.TOO_LATE and decision.attempt_id is not None:
                    await repository.end_of_attempt(
                        session, decision.attempt_id, Kind(decision.kind), reason=EndReason.TOO_LATE
                    )
        if decision.ended_at is not None:
            await self._say(decision, has_ended=True)
            async with self._database.unit_of_work() as session:
                await repository.end_told(session, decision.id)

    async def _say(self, decision: Decision, *, has_ended: bool) -> Outcome:
        body = self._observation(decision, has_ended=has_ended).model_dump_json()
        headers = {"Content-Type": "application/json"}
        answer = await self._http.post(self._url, content=body, headers=headers, timeout=TIMEOUT_S)
        if answer.status_code == 404:
            return Outcome.PRINTER_GONE
        if answer.status_code in {400, 413, 422}:
            log.error("observation_refused", decision=show("decision", decision.id), answer=answer.text[:500])
            return Outcome.REFUSED
        answer.raise_for_status()
        try:
            return _Observed.model_validate_json(answer.content).outcome
        except ValidationError as error:
            raise httpx.DecodingError("not what the queue service answers") from error

    def _observation(self, decision: Decision, *, has_ended: bool) -> _Observation:
        pauses = decision.action == Action.PAUSE and not has_ended
        data: dict[str, JsonValue] = {"kind": decision.kind, "action": decision.action}
        if has_ended:
            data["reason"] = decision.end_reason or EndReason.CLEARED
        else:
            data |= {
                "value": decision.value,
                "threshold": decision.threshold,
                "label": decision.label,
                "model": decision.model,
                "model_version": decision.model_version,
                "has_picture": decision.picture is not None,
            }
        return _Observation(
            id=decision.id,
            has_ended=has_ended,
            organisation_id=decision.organisation_id,
            printer_id=decision.printer_id,
            camera_id=decision.camera_id,
            attempt_id=decision.attempt_id,
            job_id=decision.job_id,
            type=ENDED if has_ended else EVENTS[Kind(decision.kind)],
            data=data,
            pause_for=decision.ordered_by if pauses else None,
            pause_until=decision.created_at + self._pause_within if pauses else None,
        )
