"""Which cameras there are."""

from typing import Annotated, Literal, cast

from fastapi import APIRouter, Body, Request, Response

from fluxprint_camera.cameras import repository, service
from fluxprint_camera.cameras.models import CameraRow, RecordingMode
from fluxprint_camera.cameras.schemas import Camera, CameraStatus, CameraUpdate, SourceState
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.access import Relay
from fluxprint_camera.relay.live import Live
from fluxprint_camera.viewers.grants import Grants
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session, after_commit
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require

router = APIRouter(prefix="/cameras", tags=["cameras"])

Watching = Annotated[Principal, require(Permission.CAMERAS_VIEW)]
Managing = Annotated[Principal, require(Permission.PRINTERS_MANAGE)]


@router.get("", summary="List cameras", responses=openapi.problems(401, 403))
async def list_cameras(principal: Watching, session: Reading, hub: Relay, paging: Paging) -> Page[Camera]:
    """The organisation's cameras, oldest first."""
    rows = await repository.after(session, Sight.of(principal), after_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=lambda row: _show(row, hub))


@router.get("/{camera_id}", summary="Get a camera", responses=openapi.problems(401, 403, 404))
async def get_camera(principal: Watching, session: Reading, hub: Relay, camera_id: CameraId) -> Camera:
    """A camera, with what is known about it at this moment."""
    row = await service.get(session, Sight.of(principal), camera_id)
    return _show(row, hub)


@router.patch("/{camera_id}", summary="Change a camera", responses=openapi.problems(401, 403, 404))
async def update_camera(
    principal: Managing,
    session: Session,
    hub: Relay,
    camera_id: CameraId,
    body: Annotated[CameraUpdate, Body(media_type="application/merge-patch+json")],
) -> Camera:
    """Give a camera a name of its own, or say how prints are recorded by it. Everything else is set at its bridge."""
    return _show(
        await service.change(session, Sight.of(principal), camera_id, body.model_dump(exclude_unset=True)), hub
    )


@router.delete(
    "/{camera_id}",
    summary="Forget a camera",
    status_code=204,
    response_class=Response,
    responses=openapi.problems(401, 403, 404, 409),
)
async def delete_camera(
    request: Request, principal: Managing, session: Session, hub: Relay, camera_id: CameraId
) -> Response:
    """Forget a camera that is offline, and what is kept of it. It comes back, as a new one, when its bridge has it."""
    live = hub.look(camera_id=camera_id, organisation_id=principal.organisation_id)
    await service.remove(session, Sight.of(principal), camera_id, connected=live is not None and live.connected)
    grants: Grants = request.app.state.grants
    after_commit(session, lambda: grants.end([camera_id]))
    return Response(status_code=204)


def _show(row: CameraRow, hub: Relay) -> Camera:
    live = hub.look(camera_id=row.id, organisation_id=row.organisation_id) or Live()
    return Camera(
        id=row.id,
        printer_id=row.printer_id,
        bridge_id=row.bridge_id,
        key=row.key,
        name=row.name,
        rotate=cast("Literal[0, 90, 180, 270]", row.rotate),  # a constraint of the table
        flip_h=row.flip_h,
        flip_v=row.flip_v,
        recording=RecordingMode(row.recording),
        recording_interval_s=row.recording_interval_s,
        status=CameraStatus.ONLINE if live.online else CameraStatus.OFFLINE,
        source_state=SourceState(row.source_state),
        source_reason=row.source_reason,
        source_detail=row.source_detail,
        source_since=row.source_since,
        created_at=row.created_at,
        last_frame_at=live.last_frame_at or row.last_frame_at,
        viewers=live.viewers,
        fps=round(live.fps, 1),
    )
