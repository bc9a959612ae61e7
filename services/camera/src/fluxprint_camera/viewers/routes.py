"""Watching a camera."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.access import Relay
from fluxprint_camera.relay.frame import rfc3339
from fluxprint_camera.relay.hub import Live
from fluxprint_camera.relay.problems import CameraOffline
from fluxprint_camera.viewers.access import watches
from fluxprint_camera.viewers.mjpeg import MjpegStream
from fluxprint_camera.viewers.schemas import ViewToken
from fluxprint_camera.viewers.tokens import ViewTokens, Watcher
from fluxprint_common import openapi
from fluxprint_common.database import Reading
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_subject
from fluxprint_common.revocations import Revocations

router = APIRouter(prefix="/cameras/{camera_id}", tags=["cameras"])

Watching = Annotated[Watcher, watches(Permission.CAMERAS_VIEW)]


async def _live(session: Reading, hub: Relay, watcher: Watching, camera_id: CameraId) -> Live:
    """The camera as the relay has it. The database is only asked about cameras that the relay does not know, and for
    whoever may see those of some printers only.

    Raises:
        NotFound: there is none that this watcher may see. CameraOffline: there is, but nothing comes from it.
    """
    if not watcher.may_see(camera_id):
        raise NotFound
    live = hub.look(camera_id=camera_id, organisation_id=watcher.organisation_id)
    if live is None or watcher.printers is not None:
        await cameras.get(session, Sight(watcher.organisation_id, watcher.printers), camera_id)
    if live is None:
        raise CameraOffline
    return live


@router.get(
    "/snapshot",
    summary="Get the newest picture",
    response_class=Response,
    responses={
        200: openapi.binary(
            "image/jpeg",
            "The newest picture.",
            **{"ETag": "Of this picture.", "X-Captured-At": "When it was taken, by the bridge's clock."},
        ),
        304: {"description": "The newest picture is the one named in If-None-Match."},
        **openapi.problems(401, 403, 404),
    },
)
async def get_snapshot(
    live: Annotated[Live, Depends(_live)],
    if_none_match: Annotated[
        str | None,
        Header(alias="If-None-Match", max_length=1000, description="The ETag of the picture that is there already."),
    ] = None,
) -> Response:
    """The newest picture; an idle camera sends one every few seconds.

    503 `camera_offline` when there is no current one.
    """
    frame = live.frame
    if frame is None:
        raise CameraOffline
    headers = {
        "ETag": frame.etag,
        "X-Captured-At": rfc3339(frame.captured_at),
        "Cache-Control": "private, no-cache",  # may be kept, must be asked for again: that is what the ETag is for
    }
    if if_none_match is not None and frame.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(frame.jpeg, media_type="image/jpeg", headers=headers)


@router.get(
    "/stream",
    summary="Watch a camera",
    response_class=Response,
    responses={
        200: openapi.binary(
            "multipart/x-mixed-replace", "An endless sequence of JPEG pictures, each with its Content-Length."
        ),
        **openapi.problems(401, 403, 404),
    },
    dependencies=[Depends(_live)],
)
async def stream_camera(
    request: Request,
    watcher: Watching,
    hub: Relay,
    camera_id: CameraId,
    max_fps: Annotated[
        float | None, Query(ge=0.1, le=60, description="Not more pictures per second than this.")
    ] = None,
) -> Response:
    """Live pictures as MJPEG, for an `<img>` element: the newest at once, then each as it comes.

    Who reads too slowly misses pictures and sees the newest. The stream ends with the token, at once where
    that is revoked, and soon after the camera goes offline.
    """
    revocations: Revocations = request.app.state.revocations
    return MjpegStream(hub, camera_id=camera_id, watcher=watcher, max_fps=max_fps, revocations=revocations)


@router.post(
    "/view-tokens",
    summary="Make a view token",
    status_code=201,
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("view_tokens", "limit_view_tokens")],
)
async def create_view_token(
    request: Request,
    principal: Annotated[Principal, require(Permission.CAMERAS_VIEW)],
    session: Reading,
    camera_id: CameraId,
) -> ViewToken:
    """A token that opens this camera's stream and snapshot, nothing else, for some minutes.

    Use it where no header can be sent: `<img src=".../stream?token=...">`.
    """
    await cameras.get(session, Sight.of(principal), camera_id)
    tokens: ViewTokens = request.app.state.view_tokens
    token, expires_at = tokens.issue(principal, camera_id)
    return ViewToken(token=token, expires_at=expires_at)
