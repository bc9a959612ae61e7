"""Answers that may not be read: each has a place, waits in small pieces, and is cut off when nothing of it is taken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.transport import give_up, transport_of
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

#: So much of a picture is copied for one connection; who takes it slower than that in the stuck time is cut off.
PIECE_BYTES = 16 * 1024


class Unread(Exception):
    """Nothing of an answer was taken for too long."""


async def in_time(scope: Scope, send: Send, answer: Callable[[Send], Awaitable[None]], *, stuck_after_s: float) -> None:
    """Send an answer until its last byte has left this process. One that stands still costs its connection."""
    transport = transport_of(scope)
    transport.set_write_buffer_limits(high=0)  # a message is taken when nothing of it waits

    async def send_in_time(message: Message) -> None:
        try:
            async with asyncio.timeout(stuck_after_s):
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    await send({**message, "more_body": True})
                    message = _body()  # the server has done with an answer when it has a copy of the rest: wait for it
                    await send({**message, "more_body": True})
                await send(message)
        except TimeoutError:
            raise Unread from None

    try:
        await answer(send_in_time)
    except Unread:
        log.info("answer_unread")
        give_up(scope)


class PictureAnswer(Response):
    """A picture, of which one connection holds a small piece only.

    Raises:
        TooManyViewers: when called, before anything is sent: as many wait already as somebody may watch.
    """

    def __init__(self, request: Request, picture: bytes | memoryview, watcher: Watcher, **answer: Any) -> None:
        super().__init__(picture, **answer)
        settings: CameraSettings = request.app.state.settings
        self._stuck_after_s = settings.stuck_after_s
        self._places: Places = request.app.state.downloads
        self._watcher = watcher

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        # What the kernel takes at once holds no place at all: until something waits, nothing else runs.
        with self._places.take(self._watcher):
            await in_time(scope, send, self._send, stuck_after_s=self._stuck_after_s)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        picture = memoryview(self.body)
        for at in range(0, len(picture), PIECE_BYTES):
            await send({**_body(picture[at : at + PIECE_BYTES]), "more_body": True})
        await send(_body())


def _body(data: bytes | memoryview = b"") -> Message:
    return {"type": "http.response.body", "body": data}
