"""A stream that plays, after its answer has begun: all that is kept of a viewer over MJPEG on the fast path.

The request's task, its middleware and the server's parser end with the beginning of the answer. What remains is a
connection that takes frames, at a tenth of the memory (docs/adr/0015-camera-fast-path.md).
"""

import asyncio
from contextlib import ExitStack
from contextvars import copy_context

from fluxprint_camera.relay.frame import LAST_CHUNKS
from fluxprint_camera.relay.viewer import Left, Viewer
from fluxprint_camera.viewers.pictures import Pictures
from fluxprint_camera.viewers.shared import SharedWriter

MAX_UNHEARD_BYTES = 64 * 1024  # the rest of a request that was sent with a body


class Playing(asyncio.Protocol):
    """Stands where the server's side of the connection stood, and is the outlet of the viewer.

    Frames go to the socket from the publisher. What it does not take is left to the transport, which says when it has
    (`resume_writing`): then comes what is the newest of that moment.

    Args:
        held: what ends with the connection: the viewer's place, and the watch over what it was let in with. It is
            taken over when nothing can fail any more.
    """

    __slots__ = (
        "_context", "_held", "_is_called", "_pictures", "_placard", "_transport", "_unheard_bytes", "_viewer",
        "_writer", "push",
    )  # fmt: skip

    def __init__(self, transport: asyncio.Transport, viewer: Viewer, pictures: Pictures, held: ExitStack) -> None:
        self._transport = transport
        self._viewer = viewer
        self._pictures = pictures
        self._context = copy_context()  # the request's id, for the log
        self._writer = SharedWriter(transport)
        self._placard: asyncio.Task[None] | None = None
        self._is_called = False
        self._unheard_bytes = 0
        self.push = self._writer.push_chunk
        viewer.begin(self, self._call)
        self._call()
        self._held = held.pop_all()

    def asks(self) -> bool:
        return self._transport.get_write_buffer_size() > 0

    def backlog(self) -> int:
        """Bytes that wait in this process."""
        return self._transport.get_write_buffer_size()

    def awaits(self) -> bool:
        return False

    def cut(self) -> None:
        """Drop the connection and what waits in it."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """The answer is the last on its connection: what a client says more is not listened to, nor without end."""
        self._unheard_bytes += len(data)
        if self._unheard_bytes > MAX_UNHEARD_BYTES:
            self.cut()

    def resume_writing(self) -> None:
        self._serve()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._viewer.leave(Left.DISCONNECTED)
        self._context.run(self._held.close)

    def _call(self) -> None:
        """See to the viewer soon: whoever wakes it is in the middle of something."""
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        """Send what there is to send now."""
        self._is_called = False
        viewer, transport = self._viewer, self._transport
        if self._placard is not None or transport.is_closing() or transport.get_write_buffer_size():
            return
        if viewer.left is not None:
            transport.write(LAST_CHUNKS)
            transport.close()
        elif (status := viewer.news()) is not None and status.reason is not None:
            self._placard = asyncio.create_task(self._show(status.reason), name="viewer:placard")
        elif (frame := viewer.take()) is not None:
            self._writer.write_chunk(frame)

    async def _show(self, reason: str) -> None:
        try:
            self._writer.write_chunk(await self._pictures.placard(reason))
        finally:
            self._placard = None
            self._serve()  # unless it waits for the connection, which calls then
