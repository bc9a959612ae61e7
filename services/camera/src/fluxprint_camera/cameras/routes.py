"""Which cameras there are."""

from typing import Annotated

from fastapi import APIRouter

from fluxprint_camera.cameras import repository, service
from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.cameras.schemas import Camera, CameraStatus
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.access import Relay
from fluxprint_camera.relay.hub import Live
from fluxprint_common import openapi
from fluxprint_common.database import Reading
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require

router = APIRouter(prefix="/cameras", tags=["cameras"])

Watching = Annotated[Principal, require(Permission.CAMERAS_VIEW)]


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


def _show(row: CameraRow, hub: Relay) -> Camera:
    live = hub.look(camera_id=row.id, organisation_id=row.organisation_id) or Live()
    return Camera(
        id=row.id,
        printer_id=row.printer_id,
        bridge_id=row.bridge_id,
        name=row.name,
        status=CameraStatus.ONLINE if live.online else CameraStatus.OFFLINE,
        created_at=row.created_at,
        last_frame_at=live.frame.received_at if live.frame else row.last_frame_at,
        viewers=live.viewers,
        fps=round(live.fps, 1),
    )
