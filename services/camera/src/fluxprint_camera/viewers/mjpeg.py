"""MJPEG over HTTP: a multipart/x-mixed-replace body that replaces one picture by the next."""

import asyncio
from contextlib import ExitStack
from uuid import UUID

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from fluxprint_camera.relay.frame import BOUNDARY, LAST
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.viewer import Left, Viewer
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.pictures import Pictures
from fluxprint_camera.viewers.playing import Playing
from fluxprint_camera.viewers.transport import Connection, give_up
from fluxprint_camera.viewers.watcher import Watcher

_FIRST = f"--{BOUNDARY}".encode()  # each part ends with the next delimiter, so the first part needs one before it


class MjpegStream(Response):
    """Sends a camera's frames until the viewer or its token goes; while there are none, a picture that says why.

    Each frame is bytes that all viewers share: on the fast path handed to the socket from the publisher, after the call
    has ended with the beginning of the answer, and otherwise one `send`.

    Raises:
        TooManyViewers: when called, before anything is sent.
    """

    media_type = f"multipart/x-mixed-replace; boundary={BOUNDARY}"

    def __init__(
        self,
        hub: Hub,
        *,
        camera_id: UUID,
        watcher: Watcher,
        max_fps: float | None,
        grants: Grants,
        pictures: Pictures,
        fast: bool,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Connection": "close"})  # on the fast path the server has let go of it
        self._hub = hub
        self._camera_id = camera_id
        self._watcher = watcher
        self._max_fps = max_fps
        self._grants = grants
        self._pictures = pictures
        self._fast = fast

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = Connection(scope, fast=self._fast)
        if connection.transport.is_closing():
            give_up(scope)
            return
        watcher = self._watcher
        with ExitStack() as held:
            viewer = held.enter_context(
                self._hub.watching(
                    camera_id=self._camera_id,
                    organisation_id=watcher.organisation_id,
                    person_id=watcher.person_id,
                    outlet=connection,
                    expires_in_s=watcher.expires_in_s,
                    max_fps=self._max_fps,
                    at_most=watcher.max_viewers,
                )
            )
            held.enter_context(self._grants.watching(watcher, self._camera_id, viewer.revoke))
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await send(_body(_FIRST))
            if connection.is_free:
                playing = Playing(connection.transport, viewer, self._pictures, held)
                connection.hand_over(scope, playing)
                return
            async with asyncio.TaskGroup() as group:
                departure = group.create_task(_until_departure(receive, viewer), name="viewer:departure")
                if not await _send_frames(connection, viewer, send, self._pictures):
                    give_up(scope)
                departure.cancel()


async def _send_frames(connection: Connection, viewer: Viewer, send: Send, pictures: Pictures) -> bool:
    """Until the viewer's end. False: the client has gone before."""
    while await viewer.ready():
        if connection.transport.is_closing():
            return False
        if connection.backlog():
            # Returns when the connection has taken what it was given: the frame to send is the newest of that moment.
            await send(_body(b""))
        if (status := viewer.news()) is not None and status.reason is not None:
            await send(_body((await pictures.placard(status.reason)).part))
        elif (frame := viewer.take()) is not None:
            await send(_body(frame.part))
    await send(_body(b""))
    await send(_body(LAST, more=False))
    return True


def _body(data: bytes | memoryview, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}


async def _until_departure(receive: Receive, viewer: Viewer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    viewer.leave(Left.DISCONNECTED)
