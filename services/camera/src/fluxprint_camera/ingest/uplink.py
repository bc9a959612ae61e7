"""One bridge's connection for all of its cameras, from the accepted handshake to its end."""

import asyncio
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, ValidationError
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.ingest.lane import Lane
from fluxprint_camera.ingest.messages import (
    CLOSE_AT_END,
    FROM_BRIDGE,
    JPEG_MAGIC,
    MAX_TEXT_CHARS,
    Accepted,
    AcceptedCamera,
    AnnouncedCamera,
    Cameras,
    Close,
    FrameHeader,
    RefusedCamera,
)
from fluxprint_camera.ingest.register import DATABASE_ERRORS, NOT_ITS_PRINTER, Register
from fluxprint_camera.relay.channel import Ended
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.database import Database
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.principal import Principal

log = get_logger(__name__)

FIRST_LIST_S = 10.0
#: Without a camera, and without a list that names one: a bridge names what was refused again within a minute.
NAMELESS_S = 120.0
#: The database is asked and told not more often than this.
BETWEEN_LISTS_S = 0.5
BETWEEN_WRITES_S = 1.0
AFTER_A_FAILED_WRITE_S = 5.0
#: Text messages beyond this many wait for their turn, so many a second: lists and states are rare.
TEXTS_AT_ONCE = 300
TEXTS_PER_S = 20.0

_TAKEN_OVER = ("taken_over", "Another connection of a bridge sends this camera's pictures.")


class UplinkClosed(Exception):
    """The relay has a reason to close."""

    def __init__(self, close: Close) -> None:
        super().__init__(close.reason)
        self.close = close


class Uplink:
    """Takes frames of the bridge's cameras, and tells it how many are wanted."""

    def __init__(
        self,
        websocket: WebSocket,
        hub: Hub,
        register: Register,
        database: Database,
        settings: CameraSettings,
        *,
        bridge: Principal,
    ) -> None:
        self._websocket = websocket
        self._hub = hub
        self._register = register
        self._database = database
        self._settings = settings
        self._bridge = bridge
        self._lanes: dict[int, Lane] = {}
        self._refused: dict[int, RefusedCamera] = {}
        self._listed = _Lists()
        self._news = asyncio.Event()
        self._expired = asyncio.Event()
        self._names_some = False
        self._texts = _Allowance(TEXTS_AT_ONCE, TEXTS_PER_S)
        self.received = 0

    @property
    def bridge_id(self) -> UUID:
        return self._bridge.subject

    @property
    def lanes(self) -> Collection[Lane]:
        """The cameras that are connected now."""
        return self._lanes.values()

    def expire(self) -> None:
        """What the bridge was let in with is worth nothing any more."""
        self._expired.set()

    async def run(self) -> Close | None:
        """Work until the connection is over; why it had to be closed, or None where the bridge went away."""
        close: Close | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_expired(), name="uplink:token")
                group.create_task(self._until_nameless(), name="uplink:nameless")
                group.create_task(self._answer_lists(group), name="uplink:lists")
                group.create_task(self._keep_news(), name="uplink:news")
                group.create_task(self._receive(group), name="uplink:receive")
        except* UplinkClosed as closed:
            first = closed.exceptions[0]
            close = first.close if isinstance(first, UplinkClosed) else None
        except* WebSocketDisconnect:
            pass
        finally:
            lanes = list(self._lanes.values())
            for lane in lanes:
                lane.close()
        if close is not None:
            with suppress(WebSocketDisconnect):
                await self._websocket.close(close.code, close.reason)
        await self._keep(lanes, at_the_end=True)
        return close

    async def _until_expired(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._expires_in_s):
                await self._expired.wait()
        raise UplinkClosed(Close.TOKEN_ENDED)

    async def _until_nameless(self) -> None:
        """Who has no camera here needs no connection, and may come back with one."""
        while True:
            self._names_some = bool(self._lanes)
            await asyncio.sleep(NAMELESS_S)
            if not self._lanes and not self._names_some:
                raise UplinkClosed(Close.SILENT)

    @property
    def _expires_in_s(self) -> float:
        return (self._bridge.expires_at - datetime.now(UTC)).total_seconds()

    async def _send(self, message: BaseModel) -> None:
        await self._websocket.send_text(message.model_dump_json())

    # -- which cameras -------------------------------------------------------------------------------------------------

    async def _answer_lists(self, group: asyncio.TaskGroup) -> None:
        while True:
            announced = await self._listed.take()
            registered = await self._register.take(announced)
            there = {channel: lane.camera_id for channel, lane in self._lanes.items()}
            wanted = dict(registered.cameras)
            for channel in registered.unsure & there.keys():  # goes on as it was
                wanted[channel] = there[channel]
            for channel, camera_id in there.items():
                if wanted.get(channel) != camera_id:
                    await self._let_go(channel)
            self._refused = {one.channel: one for one in registered.refused if one.channel not in wanted}
            opened = [
                self._open(channel, camera_id, registered.printers[channel])
                for channel, camera_id in wanted.items()
                if channel not in there
            ]
            await self._tell()
            for lane in opened:
                lane.serving = group.create_task(self._serve(lane), name="uplink:lane")
            await asyncio.sleep(BETWEEN_LISTS_S)

    def _open(self, channel: int, camera_id: UUID, printer_id: UUID) -> Lane:
        lane = self._lanes[channel] = Lane(
            self._hub,
            self._settings,
            self._send,
            channel=channel,
            camera_id=camera_id,
            printer_id=printer_id,
            organisation_id=self._bridge.organisation_id,
            expires_in_s=self._expires_in_s,
        )
        log.info("camera_connected", camera=show("camera", camera_id), bridge=show("bridge", self._bridge.subject))
        return lane

    async def _let_go(self, channel: int) -> None:
        lane = self._lanes.pop(channel)
        lane.close()
        if lane.serving is not None and lane.serving is not asyncio.current_task():
            lane.serving.cancel()
        log.info("camera_left", camera=show("camera", lane.camera_id), frames=lane.received)
        await self._keep([lane], at_the_end=True)

    async def _tell(self) -> None:
        await self._send(
            Accepted(
                cameras=[AcceptedCamera(channel=c, camera_id=lane.camera_id) for c, lane in self._lanes.items()],
                refused=list(self._refused.values()),
                max_frame_bytes=self._settings.max_frame_bytes,
                max_width=self._settings.max_width,
            )
        )

    async def _serve(self, lane: Lane) -> None:
        """Say what is wanted of one camera. Another connection may take it over, and leave this one the others; so may
        its printer leave the bridge."""
        ended = await lane.announce()
        if ended in CLOSE_AT_END:
            raise UplinkClosed(CLOSE_AT_END[ended])
        await self._let_go(lane.channel)
        if ended is Ended.TAKEN_OVER and not self._lanes:
            raise UplinkClosed(Close.TAKEN_OVER)
        code, detail = NOT_ITS_PRINTER if ended is Ended.PRINTER_LEFT else _TAKEN_OVER
        self._refused[lane.channel] = RefusedCamera(channel=lane.channel, code=code, detail=detail)
        await self._tell()

    # -- what comes ----------------------------------------------------------------------------------------------------

    async def _receive(self, group: asyncio.TaskGroup) -> None:
        try:
            async with asyncio.timeout(FIRST_LIST_S):
                await self._take(await self._websocket.receive(), group)
        except TimeoutError:
            raise UplinkClosed(Close.SILENT) from None
        while True:
            await self._take(await self._websocket.receive(), group)

    async def _take(self, message: Message, group: asyncio.TaskGroup) -> None:
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        if (data := message.get("bytes")) is not None:
            await self._take_frame(data, group)
        else:
            await self._texts.one()
            self._take_text(message.get("text") or "")

    def _take_text(self, text: str) -> None:
        try:
            if len(text) > MAX_TEXT_CHARS:
                raise UplinkClosed(Close.NOT_THE_PROTOCOL)
            message = FROM_BRIDGE.validate_json(text)
        except ValidationError:
            raise UplinkClosed(Close.NOT_THE_PROTOCOL) from None
        if isinstance(message, Cameras):
            self._listed.put(message.cameras)
            self._names_some |= bool(message.cameras)
        elif (lane := self._lanes.get(message.channel)) is not None and lane.hear(message):
            self._news.set()

    async def _take_frame(self, data: bytes, group: asyncio.TaskGroup) -> None:
        try:
            header = FrameHeader.read(data)
        except ValueError:
            raise UplinkClosed(Close.NOT_THE_PROTOCOL) from None
        picture = memoryview(data)[FrameHeader.SIZE :]
        if len(picture) > self._settings.max_frame_bytes:
            raise UplinkClosed(Close.TOO_LARGE)
        if picture[: len(JPEG_MAGIC)] != JPEG_MAGIC:
            raise UplinkClosed(Close.NOT_A_JPEG)
        lane = self._lanes.get(header.channel)
        if lane is None:
            return  # taken over meanwhile, which the bridge has not heard yet
        if lane.owes_ack:
            raise UplinkClosed(Close.WINDOW)
        if header.sequence <= lane.sequence:
            raise UplinkClosed(Close.SEQUENCE)
        early_s = lane.publish(picture, sequence=header.sequence, captured_at=header.captured_at)
        self.received += 1
        if lane.has_news:
            self._news.set()
        acknowledging = lane.acknowledge(header.sequence, after_s=early_s)
        if early_s:
            group.create_task(acknowledging, name="uplink:ack")
        else:
            await acknowledging

    # -- what is kept --------------------------------------------------------------------------------------------------

    async def _keep_news(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if not await self._keep(list(self._lanes.values())):
                self._news.set()
                await asyncio.sleep(AFTER_A_FAILED_WRITE_S)
            await asyncio.sleep(BETWEEN_WRITES_S)

    async def _keep(self, lanes: Sequence[Lane], *, at_the_end: bool = False) -> bool:
        """Write down what cameras said of themselves. Without the database it waits or is forgotten: nothing depends
        on it."""
        news = {lane: seen for lane in lanes if (seen := lane.news(at_the_end=at_the_end)) is not None}
        if not news:
            return True
        try:
            async with self._database.unit_of_work() as session:
                await cameras.remember(session, {lane.camera_id: seen for lane, seen in news.items()})
        except DATABASE_ERRORS as error:
            log.warning("cameras_not_kept", cameras=len(news), error=repr(error)[:300])
            return False
        for lane, seen in news.items():
            lane.was_kept(seen)
        return True


class _Lists:
    """The newest list that is not answered yet."""

    def __init__(self) -> None:
        self._newest: Sequence[AnnouncedCamera] | None = None
        self._came = asyncio.Event()

    def put(self, cameras: Sequence[AnnouncedCamera]) -> None:
        self._newest = cameras
        self._came.set()

    async def take(self) -> Sequence[AnnouncedCamera]:
        while (newest := self._newest) is None:
            self._came.clear()
            await self._came.wait()
        self._newest = None
        return newest


class _Allowance:
    """So many at once, and so many a second after that; who comes too early waits."""

    def __init__(self, at_once: float, per_s: float) -> None:
        self._at_once = self._left = at_once
        self._per_s = per_s
        self._at = time.monotonic()

    async def one(self) -> None:
        now = time.monotonic()
        self._left = min(self._at_once, self._left + (now - self._at) * self._per_s) - 1
        self._at = now
        if self._left < 0:
            await asyncio.sleep(-self._left / self._per_s)
