"""MJPEG over HTTP: a multipart/x-mixed-replace body that replaces one picture by the next."""

import asyncio
from uuid import UUID

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from fluxprint_camera.relay.frame import BOUNDARY
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.viewer import Left, Viewer
from fluxprint_camera.viewers.tokens import Watcher
from fluxprint_camera.viewers.transport import Connection
from fluxprint_common.revocations import Revocations

_FIRST = f"--{BOUNDARY}".encode()  # each part ends with the next delimiter, so the first part needs one before it
_LAST = b"--\r\n"


class MjpegStream(Response):
    """Sends a camera's frames until the viewer, its token or the camera goes.

    Each frame is one `send` of bytes that all viewers share.

    Raises:
        CameraOffline, TooManyViewers: when called, before anything is sent.
    """

    media_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"

    def __init__(
        self, hub: Hub, *, camera_id: UUID, watcher: Watcher, max_fps: float | None, revocations: Revocations
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers()
        self._hub = hub
        self._camera_id = camera_id
        self._watcher = watcher
        self._max_fps = max_fps
        self._revocations = revocations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope)
        watcher = self._watcher
        with (
            self._hub.watching(
                camera_id=self._camera_id,
                organisation_id=watcher.organisation_id,
                person_id=watcher.person_id,
                outlet=connection,
                expires_in_s=watcher.expires_in_s,
                max_fps=self._max_fps,
            ) as viewer,
            self._revocations.watching(watcher.session_id, watcher.issued_at, viewer.revoke),
        ):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with asyncio.TaskGroup() as group:
                departure = group.create_task(_until_departure(receive, viewer), name="viewer:departure")
                await _send_frames(connection, viewer, send)
                departure.cancel()


async def _send_frames(connection: Connection, viewer: Viewer, send: Send) -> None:
    await send(_body(_FIRST))
    while await viewer.ready():
        if connection.backlog():
            # Returns when the connection has taken what it was given: the frame to send is the newest of that moment.
            await send(_body(b""))
        if (frame := viewer.take()) is not None:
            await send(_body(frame.part))
    await send(_body(b""))
    await send(_body(_LAST, more=False))


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _until_departure(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.leave(Left.DISCONNECTED)
