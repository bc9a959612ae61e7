"""Rules of watching: what becomes a decision, when it ends, and what people say of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.watching import repository
from fluxprint_camera.watching.kinds import Action, Kind, Verdict
from fluxprint_camera.watching.models import Decision, WatchPolicy
from fluxprint_camera.watching.policy import Policy
from fluxprint_camera.watching.schemas import WatchPolicyPut
from fluxprint_common.database import ReadSession
from fluxprint_common.ids import new_id, show
from fluxprint_common.logs import get_logger
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Forbidden, NotFound

log = get_logger(__name__)


class DecisionNotFound(NotFound):
    """There is no such decision, or it is not yours"""

    code = "decision_not_found"


class PictureGone(NotFound):
    """The decision has no picture: none had come, there was no room for it, or it was deleted as too old"""

    code = "picture_gone"


@dataclass(frozen=True)
class Found:
    """Trouble at a camera, with all that it was decided by.

    Attributes:
        captured_at: of the picture that is kept, by the bridge's clock.
        scores: what the detector said, with its name and version in `model` and `model_version`.
    """

    organisation_id: UUID
    printer_id: UUID
    camera_id: UUID
    attempt_id: UUID | None
    job_id: UUID | None
    kind: Kind
    value: float
    threshold: float
    captured_at: datetime | None = None
    label: str | None = None
    scores: Mapping[str, float] | None = None
    model: str | None = None
    model_version: str | None = None


@dataclass(frozen=True)
class Picture:
    """Where a decision's picture is kept, below the data folder."""

    name: str
    size_bytes: int


async def decide(
    session: AsyncSession,
    found: Found,
    policy: Policy,
    *,
    decision_id: UUID,
    picture: Picture | None,
    max_per_hour: int,
) -> bool:
    """Keep a decision, open until the trouble is over. Whoever tells the queue service finds it there.

    Returns:
        False where it is open already (another replica saw it too), or the camera had too many in this hour. That never
        keeps a print from being paused for the first time: somebody decided it.
    """
    decision = {**vars(found), "id": decision_id, "action": Action.NOTIFY, "ordered_by": None}
    if picture is not None:
        decision |= {"picture": picture.name, "picture_bytes": picture.size_bytes}
    pauses = policy.actions[found.kind] is Action.PAUSE and policy.set_by is not None
    is_first = pauses and found.attempt_id is not None and not await repository.has_pause(session, found.attempt_id)
    if not is_first and await repository.count_of_last_hour(session, found.camera_id) >= max_per_hour:
        log.warning("too_many_decisions", camera=show("camera", found.camera_id), kind=found.kind)
        return False
    if pauses and found.attempt_id is not None:
        pause = {"action": Action.PAUSE, "ordered_by": policy.set_by}
        if await repository.add(session, {**decision, **pause}) is not None:
            return True  # else maybe because this print was paused before
    return await repository.add(session, decision) is not None


async def get(session: ReadSession | AsyncSession, sight: Sight, decision_id: UUID) -> Decision:
    """One decision. Raises: DecisionNotFound"""
    decision = await repository.find(session, sight, decision_id)
    if decision is None:
        raise DecisionNotFound
    return decision


async def judge(session: AsyncSession, principal: Principal, decision_id: UUID, verdict: Verdict | None) -> Decision:
    """Keep what a person says of a decision; the last word counts. Raises: DecisionNotFound"""
    decision = await get(session, Sight.of(principal), decision_id)
    by, at = (principal.subject, datetime.now(UTC)) if verdict else (None, None)
    await repository.set_verdict(session, decision, verdict=verdict, by=by, at=at)
    return decision


async def put_policy(
    session: AsyncSession, principal: Principal, printer_id: UUID | None, body: WatchPolicyPut
) -> WatchPolicy:
    """Decide what is watched for, for one printer or the whole organisation.

    Raises:
        NotFound: there is no such printer with a camera. Forbidden: a key for some printers decides about all.
    """
    await _check_may_change(session, principal, printer_id)
    changed = {**body.model_dump(), "updated_by": principal.subject, "updated_at": datetime.now(UTC)}
    values = {"id": new_id(), "organisation_id": principal.organisation_id, "printer_id": printer_id}
    return await repository.put_policy(session, values, changed=changed)


async def delete_policy(session: AsyncSession, principal: Principal, printer_id: UUID | None) -> None:
    """Go back to the organisation's policy, or to the default. Raises: as `put_policy`"""
    await _check_may_change(session, principal, printer_id)
    await repository.delete_policy(session, Sight.of(principal), printer_id)


async def _check_may_change(session: AsyncSession, principal: Principal, printer_id: UUID | None) -> None:
    if printer_id is None:
        if principal.printers is not None:
            raise Forbidden("This API key is for some printers; it cannot decide about the organisation's others.")
    elif not await repository.has_camera(session, Sight.of(principal), printer_id):
        raise NotFound("There is no such printer, or it has no camera yet.")
