"""One bridge's connection for one camera, from the accepted handshake to its end."""

import asyncio
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from fluxprint_camera.ingest.messages import (
    CLOSE_AT_END,
    JPEG_MAGIC,
    MAX_TEXT_CHARS,
    Ack,
    Close,
    FrameHeader,
    Hello,
    Want,
)
from fluxprint_camera.relay.channel import Publication
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.settings import CameraSettings


class UplinkClosed(Exception):
    """The relay has a reason to close."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.reason)
        self.close = close


class Uplink:
    """Takes frames one at a time and tells the bridge how many are wanted."""

    def __init__(
        self, websocket: WebSocket, *, camera_id: UUID, publication: Publication, settings: CameraSettings
    ) -> None:
        self.received = 0
        self.last_frame_at: datetime | None = None
        self._websocket = websocket
        self._camera_id = camera_id
        self._publication = publication
        self._settings = settings
        self._sequence = 0
        self._next_at = 0.0

    async def run(self) -> Close | None:
        """Work until the connection is over; why it had to be closed, or None where the bridge went away."""
        close: Close | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._announce(), name="uplink:announce")
                group.create_task(self._take_frames(), name="uplink:frames")
        except* UplinkClosed as closed:
            first = closed.exceptions[0]
            close = first.close if isinstance(first, UplinkClosed) else None
        except* WebSocketDisconnect:
            pass
        if close is not None:
            with suppress(WebSocketDisconnect):
                await self._websocket.close(close.code, close.reason)
        return close

    async def _announce(self) -> None:
        await self._send(Hello(camera_id=self._camera_id))
        while (ended := self._publication.ended) is None:
            await self._send(Want(fps=self._publication.wanted_fps, idle_interval_s=self._settings.idle_interval_s))
            await self._publication.changed()
        raise UplinkClosed(CLOSE_AT_END[ended])

    async def _send(self, message: BaseModel) -> None:
        await self._websocket.send_text(message.model_dump_json())

    async def _take_frames(self) -> None:
        while True:
            header = self._header(await self._receive("text"))
            jpeg = self._picture(await self._receive("bytes"), header)
            await self._slow_down()
            frame = Frame.of(jpeg, sequence=header.sequence, captured_at=header.captured_at)
            self._publication.publish(frame)
            self.received += 1
            self.last_frame_at = frame.received_at
            await self._send(Ack(sequence=header.sequence))

    async def _receive(self, kind: str) -> object:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        return message.get(kind)

    def _header(self, text: object) -> FrameHeader:
        if not isinstance(text, str) or len(text) > MAX_TEXT_CHARS:
            raise UplinkClosed(Close.NOT_THE_PROTOCOL)
        try:
            header = FrameHeader.model_validate_json(text)
        except ValidationError:
            raise UplinkClosed(Close.NOT_THE_PROTOCOL) from None
        if header.sequence <= self._sequence:
            raise UplinkClosed(Close.SEQUENCE)
        if header.size_bytes > self._settings.max_frame_bytes:
            raise UplinkClosed(Close.TOO_LARGE)
        self._sequence = header.sequence
        return header

    def _picture(self, data: object, header: FrameHeader) -> bytes:
        if not isinstance(data, bytes):
            raise UplinkClosed(Close.NOT_THE_PROTOCOL)
        if len(data) > self._settings.max_frame_bytes:
            raise UplinkClosed(Close.TOO_LARGE)
        if len(data) != header.size_bytes:
            raise UplinkClosed(Close.SIZE)
        if not data.startswith(JPEG_MAGIC):
            raise UplinkClosed(Close.NOT_A_JPEG)
        return data

    async def _slow_down(self) -> None:
        """A bridge that sends far more than it is asked for gets its acknowledgements later."""
        clock = asyncio.get_running_loop().time
        if (early_s := self._next_at - clock()) > 0:
            await asyncio.sleep(early_s)
        self._next_at = clock() + 1 / (2 * self._settings.max_fps)
