"""HTTP of watching: what was decided, and what is watched for."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import AttemptId, CameraId, DecisionId
from fluxprint_camera.viewers.access import sees_kept
from fluxprint_camera.viewers.unread import PictureAnswer
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_camera.watching import repository, service
from fluxprint_camera.watching.kinds import Kind
from fluxprint_camera.watching.models import Decision as DecisionRow
from fluxprint_camera.watching.models import WatchPolicy as WatchPolicyRow
from fluxprint_camera.watching.schemas import Decision, DecisionJudge, WatchPolicy, WatchPolicyPut
from fluxprint_camera.watching.storage import DecisionPictures
from fluxprint_common import openapi
from fluxprint_common.database import Database, Reading, Session
from fluxprint_common.ids import PrinterId
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require

router = APIRouter(prefix="/cameras", tags=["cameras"])

Viewing = Annotated[Principal, require(Permission.CAMERAS_VIEW)]
Watching = Annotated[Watcher, sees_kept(Permission.CAMERAS_VIEW)]
Operator = Annotated[Principal, require(Permission.PRINTERS_OPERATE)]
Manager = Annotated[Principal, require(Permission.PRINTERS_MANAGE)]


@router.get("/decisions", summary="List what was seen", responses=openapi.problems(401, 403))
async def list_decisions(
    principal: Viewing,
    session: Reading,
    paging: Paging,
    camera_id: Annotated[CameraId | None, Query()] = None,
    printer_id: Annotated[PrinterId | None, Query()] = None,
    attempt_id: Annotated[AttemptId | None, Query()] = None,
    kind: Annotated[Kind | None, Query(description="Only this kind of trouble.")] = None,
) -> Page[Decision]:
    """Trouble at cameras, newest first: frozen and black pictures, none at all, and failing prints."""
    wanted = repository.DecisionFilter(camera_id, printer_id, attempt_id, kind)
    rows = await repository.list_page(
        session, Sight.of(principal), wanted, before=paging.after_id, limit=paging.limit + 1
    )
    return page(rows, paging, id_of=lambda row: row.id, show=_show)


@router.get("/decisions/{decision_id}", summary="Get what was seen", responses=openapi.problems(401, 403, 404))
async def get_decision(principal: Viewing, session: Reading, decision_id: DecisionId) -> Decision:
    """One decision with everything that it was made by."""
    return _show(await service.get(session, Sight.of(principal), decision_id))


@router.get(
    "/decisions/{decision_id}/picture",
    summary="Get the picture of a decision",
    response_class=Response,
    responses={200: openapi.binary("image/jpeg", "The picture."), **openapi.problems(401, 403, 404)},
)
async def get_decision_picture(request: Request, watcher: Watching, decision_id: DecisionId) -> Response:
    """The picture that a decision was made by; by a view token of its camera too, for `<img>`."""
    database: Database = request.app.state.database
    pictures: DecisionPictures = request.app.state.decision_pictures
    async with database.reading() as session:  # not while the disk is waited for
        decision = await service.get(session, watcher.sight, decision_id)
    jpeg = await pictures.read(decision.picture) if decision.picture else None
    if jpeg is None:
        raise service.PictureGone
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return PictureAnswer(request, jpeg, watcher, media_type="image/jpeg", headers=headers)


@router.put(
    "/decisions/{decision_id}/verdict",
    summary="Say whether a decision was right",
    responses=openapi.problems(401, 403, 404),
)
async def judge_decision(
    principal: Operator, session: Session, decision_id: DecisionId, body: DecisionJudge
) -> Decision:
    """Mark a decision as right or wrong, for whoever sets thresholds or trains a model. The last word counts."""
    return _show(await service.judge(session, principal, decision_id, body.verdict))


@router.get("/watch-policies", summary="List watch policies", responses=openapi.problems(401, 403))
async def list_watch_policies(principal: Viewing, session: Reading, paging: Paging) -> Page[WatchPolicy]:
    """What the organisation decided, for all its printers and for single ones, oldest first."""
    rows = await repository.list_policies(session, Sight.of(principal), after=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=WatchPolicy.model_validate)


@router.get("/watch-policy", summary="Get the organisation's watch policy", responses=openapi.problems(401, 403))
async def get_watch_policy(principal: Viewing, session: Reading) -> WatchPolicy:
    """What is watched for at printers that have no policy of their own."""
    return _show_policy(await repository.policy_of(session, Sight.of(principal), None))


@router.put("/watch-policy", summary="Set the organisation's watch policy", responses=openapi.problems(401, 403))
async def set_watch_policy(principal: Manager, session: Session, body: WatchPolicyPut) -> WatchPolicy:
    """Decide what is watched for at all printers without a policy of their own."""
    return _show_policy(await service.put_policy(session, principal, None, body))


@router.put(
    "/watch-policies/{printer_id}", summary="Set a printer's watch policy", responses=openapi.problems(401, 403, 404)
)
async def set_printer_watch_policy(
    principal: Manager, session: Session, printer_id: PrinterId, body: WatchPolicyPut
) -> WatchPolicy:
    """Decide what is watched for at one printer, instead of the organisation's policy."""
    return _show_policy(await service.put_policy(session, principal, printer_id, body))


@router.delete(
    "/watch-policies/{printer_id}",
    summary="Remove a printer's watch policy",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404),
)
async def delete_printer_watch_policy(principal: Manager, session: Session, printer_id: PrinterId) -> Response:
    """Go back to the organisation's policy for a printer."""
    await service.delete_policy(session, principal, printer_id)
    return Response(status_code=204)


def _show(row: DecisionRow) -> Decision:
    fields = {name: getattr(row, name) for name in Decision.model_fields if name != "has_picture"}
    return Decision.model_validate({**fields, "has_picture": row.picture is not None})


def _show_policy(row: WatchPolicyRow | None) -> WatchPolicy:
    if row is not None:
        return WatchPolicy.model_validate(row)
    nobody = {"printer_id": None, "updated_by": None, "updated_at": None}
    return WatchPolicy.model_validate({**WatchPolicyPut.model_validate({}).model_dump(), **nobody})
