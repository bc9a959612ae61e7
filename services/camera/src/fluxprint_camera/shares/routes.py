"""Sharing a camera."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Request

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import CameraId, ShareId
from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.shares import repository, service
from fluxprint_camera.shares.schemas import Share, ShareCreated, ShareDraft
from fluxprint_camera.shares.service import NewShare
from fluxprint_camera.viewers.grants import Grants
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session, after_commit
from fluxprint_common.ids import show
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject

router = APIRouter(prefix="/cameras/{camera_id}/shares", tags=["cameras"])

Sharing = Annotated[Principal, require(Permission.CAMERAS_VIEW, Permission.PRINTERS_MANAGE)]


@router.post(
    "",
    summary="Share a camera",
    status_code=201,
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("shares", "limit_shares")],
)
async def create_share(
    request: Request, principal: Sharing, session: Session, camera_id: CameraId, body: ShareDraft
) -> ShareCreated:
    """A link for people without an account. It opens the stream and the pictures of this camera, nothing else.

    It ends when it is taken back, when its time is over, and when whoever made it may no longer change the printer.
    The token is shown here and never again.
    """
    settings: CameraSettings = request.app.state.settings
    share, token = await service.create(
        session, principal, camera_id, NewShare(**body.model_dump()), at_most=settings.max_shares_per_camera
    )
    path = f"/api/v1/cameras/{show('camera', camera_id)}/stream"
    url = f"{settings.public_url}{path}?{urlencode({'token': token})}"
    return ShareCreated(share=Share.model_validate(share), token=token, url=url)


@router.get("", summary="List the shares of a camera", responses=openapi.problems(401, 403, 404))
async def list_shares(principal: Sharing, session: Reading, camera_id: CameraId, paging: Paging) -> Page[Share]:
    """The links that work, oldest first, whoever made them."""
    await cameras.get(session, Sight.of(principal), camera_id)
    rows = await repository.after(session, camera_id, after_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=Share.model_validate)


@router.delete("/{share_id}", summary="Take a share back", status_code=204, responses=openapi.problems(401, 403, 404))
async def delete_share(
    request: Request, principal: Sharing, session: Session, camera_id: CameraId, share_id: ShareId
) -> None:
    """The link opens nothing any more, and what was opened with it ends within a second."""
    grants: Grants = request.app.state.grants
    await service.take_back(session, principal, camera_id, share_id)
    after_commit(session, lambda: grants.end([share_id]))
