"""View tokens: made for a camera or for some, and renewed."""

from collections.abc import Collection
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import CameraId
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.schemas import CameraSet, Renewal, ViewToken
from fluxprint_camera.viewers.tokens import ViewTokens
from fluxprint_common import openapi
from fluxprint_common.database import Reading
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import Unauthenticated
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject
from fluxprint_common.tokens import TokenError

log = get_logger(__name__)

router = APIRouter(prefix="/cameras", tags=["cameras"])

Watching = Annotated[Principal, require(Permission.CAMERAS_VIEW)]


@router.post(
    "/view-tokens",
    summary="Make a view token for some cameras",
    status_code=201,
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("view_tokens", "limit_view_tokens")],
)
async def create_view_token_for_set(
    request: Request, principal: Watching, session: Reading, body: CameraSet
) -> ViewToken:
    """A token that opens streams and pictures of these cameras, nothing else, for some minutes: for a page that shows
    them together."""
    wanted = frozenset(body.camera_ids)
    await cameras.check_all(session, Sight.of(principal), wanted)
    return _issued(request, principal, wanted)


@router.post(
    "/{camera_id}/view-tokens",
    summary="Make a view token",
    status_code=201,
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("view_tokens", "limit_view_tokens")],
)
async def create_view_token(request: Request, principal: Watching, session: Reading, camera_id: CameraId) -> ViewToken:
    """A token that opens this camera's stream and pictures, nothing else, for some minutes.

    Use it where no header can be sent: `<img src=".../stream?token=...">`.
    """
    await cameras.get(session, Sight.of(principal), camera_id)
    return _issued(request, principal, {camera_id})


@router.post(
    "/view-tokens/renew",
    summary="Renew a view token",
    status_code=201,
    responses=openapi.problems(401),
    dependencies=[limit_by_address("view_token_renewals", "limit_view_tokens")],
    openapi_extra={"security": []},
)
async def renew_view_token(request: Request, body: Renewal) -> ViewToken:
    """A new token for the same cameras, for one that is still good; it needs nothing else, and goes on as long as the
    session or the API key that the first one was made with, for some hours at most.

    What was opened with the old one goes on by itself.
    """
    tokens: ViewTokens = request.app.state.view_tokens
    grants: Grants = request.app.state.grants
    try:
        watcher, issued = await tokens.renew(body.token.get_secret_value())
        if grants.refuse(watcher):
            raise TokenError("revoked")
    except TokenError as error:
        log.info("token_refused", reason=error.reason)
        raise Unauthenticated("The view token has expired or was renewed for long enough; make a new one.") from None
    if watcher.ground is not None:
        await grants.confirm(watcher.ground, watcher.needs)
    return ViewToken.model_validate(issued)


def _issued(request: Request, principal: Principal, camera_ids: Collection[UUID]) -> ViewToken:
    tokens: ViewTokens = request.app.state.view_tokens
    return ViewToken.model_validate(tokens.issue(principal, camera_ids))
