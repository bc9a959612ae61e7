"""What the relay is measured against: an ASGI application with nothing around it, that sends the same frames.

One `send` of shared bytes for each viewer and frame; no routing, no middleware, no tokens, no limits, and whoever is
slow is waited for. It is the other peers' camera as well.
"""

import asyncio

from starlette.types import Receive, Scope, Send

from tools.bench.stamped import fps, stamped

_LENGTH = str(2**50).encode()  # reached by nobody: a body of unknown length would be copied into chunks


class Camera:
    """The newest frame, and who waits for the next."""

    def __init__(self) -> None:
        self.part = b""
        self.next: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.filming = asyncio.create_task(self._film())

    async def _film(self) -> None:
        loop = asyncio.get_running_loop()
        due, sequence = loop.time(), 0
        while True:
            sequence += 1
            picture = stamped(sequence)
            head = f"\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n".encode()
            self.part = b"".join((head, picture, b"\r\n--frame"))
            shown, self.next = self.next, loop.create_future()
            shown.set_result(None)
            due += 1 / fps()
            await asyncio.sleep(max(0, due - loop.time()))


_cameras: list[Camera] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Every address is the stream."""
    if scope["type"] != "http":
        return
    if not _cameras:
        _cameras.append(Camera())
    camera = _cameras[0]
    headers = [(b"content-type", b"multipart/x-mixed-replace; boundary=frame"), (b"content-length", _LENGTH)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"--frame", "more_body": True})
    gone = asyncio.create_task(_until_gone(receive))
    while not gone.done():
        await camera.next
        await send({"type": "http.response.body", "body": camera.part, "more_body": True})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
