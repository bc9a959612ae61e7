"""Watching a camera."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.ids import CameraId
from fluxprint_camera.relay.access import Relay
from fluxprint_camera.relay.frame import JPEG, Frame, rfc3339
from fluxprint_camera.relay.live import Live
from fluxprint_camera.relay.problems import CameraOffline
from fluxprint_camera.relay.status import NO_PICTURES
from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.viewers.access import watches
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.mjpeg import MjpegStream
from fluxprint_camera.viewers.pictures import Pictures, Width
from fluxprint_camera.viewers.unread import PictureAnswer
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common import openapi
from fluxprint_common.database import Database
from fluxprint_common.permissions import Permission
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import RateLimiter

router = APIRouter(prefix="/cameras/{camera_id}", tags=["cameras"])

#: So long a picture may take from another replica.
FETCHED_WITHIN_S = 3.0

Watching = Annotated[Watcher, watches(Permission.CAMERAS_VIEW)]


async def _look(request: Request, hub: Relay, watcher: Watching, camera_id: CameraId) -> Live:
    """The camera as the relay has it. The database is only asked about cameras that the relay does not know, and for
    whoever may see those of some printers only; and let go before a picture is fetched or made.

    Raises:
        NotFound: there is none that this watcher may see.
    """
    grants: Grants = request.app.state.grants
    if not watcher.may_see(camera_id) or grants.is_gone(camera_id):
        raise NotFound
    live = hub.look(camera_id=camera_id, organisation_id=watcher.organisation_id)
    if live is None or watcher.printers is not None:
        database: Database = request.app.state.database
        async with database.reading() as session:
            await cameras.get(session, watcher.sight, camera_id)
    return live or Live()


class Fallback(StrEnum):
    """What to answer while there is no current picture."""

    PROBLEM = "problem"
    PICTURE = "picture"


@router.get(
    "/snapshot",
    summary="Get the newest picture",
    response_class=Response,
    responses={
        200: openapi.binary(
            "image/jpeg",
            "The newest picture.",
            **{
                "ETag": "Of this picture in this width.",
                "X-Captured-At": "When it was taken, by the bridge's clock.",
                "X-Camera-Offline": "Why there is no current picture, with `fallback=picture`.",
            },
        ),
        304: {"description": "The newest picture is the one named in If-None-Match."},
        **openapi.problems(401, 403, 404),
    },
)
async def get_snapshot(
    request: Request,
    live: Annotated[Live, Depends(_look)],
    watcher: Watching,
    hub: Relay,
    camera_id: CameraId,
    if_none_match: Annotated[
        str | None,
        Header(alias="If-None-Match", max_length=1000, description="The ETag of the picture that is there already."),
    ] = None,
    width: Annotated[
        Width | None, Query(description="Not wider than so many pixels; a picture that is smaller stays as it is.")
    ] = None,
    fallback: Annotated[
        Fallback, Query(description="`picture`: a picture that says why there is none, instead of a problem.")
    ] = Fallback.PROBLEM,
) -> Response:
    """The newest picture; an idle camera sends one every few seconds. It is as the camera took it: turning and
    mirroring are the camera's `rotate` and `flip_h`, `flip_v`, for whoever shows it.

    503 `camera_offline` when there is no current one; with `fallback=picture` 200, a picture that says so and the
    reason in `X-Camera-Offline`.
    """
    pictures: Pictures = request.app.state.pictures
    frame = live.frame
    if frame is None and live.online:  # it is another replica's
        frame = await hub.newest(
            camera_id=camera_id, organisation_id=watcher.organisation_id, timeout_s=FETCHED_WITHIN_S
        )
    if frame is None:
        reason = live.status.reason or NO_PICTURES
        if fallback is Fallback.PROBLEM:
            raise CameraOffline(reason)
        headers = {"X-Camera-Offline": reason, "Cache-Control": "no-store"}
        placard = await pictures.placard(reason)
        return PictureAnswer(request, placard.jpeg, watcher, media_type=JPEG, headers=headers)
    tag = frame.etag if width is None else f'{frame.etag[:-1]}-{width}"'
    headers = {
        "ETag": tag,
        "X-Captured-At": rfc3339(frame.captured_at),
        "Cache-Control": "private, no-cache",  # may be kept, must be asked for again: that is what the ETag is for
    }
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    picture = frame.jpeg if width is None else await _narrowed(request, watcher, frame, width)
    return PictureAnswer(request, picture, watcher, media_type=frame.media_type, headers=headers)


async def _narrowed(request: Request, watcher: Watcher, frame: Frame, width: Width) -> bytes:
    """A smaller picture. What is there already is had without a limit.

    Raises:
        RateLimited: too many were made for this person. PicturesBusy, PictureUnreadable.
    """
    state = request.app.state
    pictures: Pictures = state.pictures
    if not pictures.has(frame, width):
        limiter: RateLimiter = state.rate_limiter
        await limiter.hit(state.settings.limit_small_pictures, "small_pictures", watcher.person_id.hex)
    return await pictures.narrowed(frame, width, organisation_id=watcher.organisation_id)


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
    dependencies=[Depends(_look)],
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

    Who reads too slowly misses pictures and sees the newest. While the camera is offline the stream shows a picture
    that says why, and goes on by itself. It ends with the token, at once where that is revoked.
    """
    state = request.app.state
    settings: CameraSettings = state.settings
    return MjpegStream(
        hub,
        camera_id=camera_id,
        watcher=watcher,
        max_fps=max_fps,
        grants=state.grants,
        pictures=state.pictures,
        fast=settings.fast_path == "auto",
    )
