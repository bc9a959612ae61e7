"""A viewer's WebSocket: several cameras over one connection, each frame acknowledged."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import lru_cache
from itertools import count
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.websockets import WebSocket, WebSocketDisconnect

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.viewer import Left, Viewer
from fluxprint_camera.viewers.acks import AckReader
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.messages import (
    MAX_TEXT_CHARS,
    UP,
    Ack,
    Ended,
    StatusMessage,
    Stop,
    Watch,
    Watching,
    framer,
    header_of,
)
from fluxprint_camera.viewers.transport import Connection
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.ids import show
from fluxprint_common.problems import Conflict, ServiceError

NOT_THE_PROTOCOL = (4400, "expected a message of fluxprint.view.v1 as text")
NOTHING_WATCHED = (4408, "no camera was watched for a minute")
#: A connection over which nothing is watched is closed after so long.
NOTHING_WATCHED_S = 60.0
#: So long each message but an acknowledgement keeps the next one waiting: each may cost a query.
PAUSE_S = 0.005
#: A line is slow on which a picture's acknowledgement takes longer: a second one behind it would only be older.
SLOW_ACK_S = 0.2

Admit = Callable[[str | None, UUID], Awaitable[Watcher]]
"""Who watches, by the token of a message or what the connection was opened with, and that they may see this camera.
Raises ServiceError where they may not."""


class TooManyCamerasWatched(Conflict):
    """As many cameras as one connection may show are shown"""

    code = "too_many_cameras_watched"


class _Closing(Exception):
    def __init__(self, close: tuple[int, str]) -> None:
        self.close = close


class _Watched:
    """One camera of a connection: the outlet of its viewer."""

    __slots__ = ("_is_slow", "_push", "_socket", "_unacknowledged", "_window", "camera_id", "index", "open", "viewer")

    def __init__(self, socket: "ViewerSocket", camera_id: UUID, index: int, window: int) -> None:
        self.camera_id = camera_id
        self.index = index
        self.open = ExitStack()
        self.viewer: Viewer
        self._socket = socket
        self._push = socket.connection.push_message
        self._window = window
        self._is_slow = False
        self._unacknowledged: dict[int, float] = {}  # sequence: when it was sent

    def has_room(self) -> bool:
        """Whether another frame may be under way: one of each camera, and one more over the whole connection."""
        under_way = len(self._unacknowledged)
        if under_way == 0:
            return True
        window = 1 if self._is_slow else self._window
        return under_way < window and self._socket.surplus() < window - 1

    @property
    def surplus(self) -> int:
        """Frames under way beyond the first."""
        return max(0, len(self._unacknowledged) - 1)

    def note(self, frame: Frame) -> None:
        """A frame was sent."""
        self._unacknowledged[frame.sequence] = time.monotonic()

    def acknowledge(self, sequence: int) -> None:
        """Take an acknowledgement, which is also one of every frame before it."""
        under_way = self._unacknowledged
        if (sent_at := under_way.get(sequence)) is None:
            return
        self._is_slow = time.monotonic() - sent_at > SLOW_ACK_S
        if len(under_way) == 1:
            under_way.clear()
        while sequence in under_way:
            del under_way[next(iter(under_way))]

    def push(self, frame: Frame) -> bool:
        if self._unacknowledged and not self.has_room():
            return False
        if not self._push(framer.framed(frame, self.index)):
            return False
        self.note(frame)
        self._socket.turn(self)
        return True

    def asks(self) -> bool:
        return not self.has_room()  # the acknowledgement that makes room looks into the slot

    def backlog(self) -> int:
        return self._socket.connection.backlog()

    def awaits(self) -> bool:
        return bool(self._unacknowledged)

    def cut(self) -> None:
        self._socket.connection.cut()


class ViewerSocket:
    """Serves one connection, after its handshake.

    One task reads and one sends. A frame that the connection takes at once goes out from the publisher, past both.
    """

    __slots__ = (
        "_acks", "_admit", "_by_name", "_cameras", "_grants", "_hub", "_max_cameras", "_wake", "_websocket",
        "connection",
    )  # fmt: skip

    def __init__(
        self,
        websocket: WebSocket,
        *,
        hub: Hub,
        connection: Connection,
        grants: Grants,
        admit: Admit,
        max_cameras: int,
        acks: AckReader,
    ) -> None:
        self.connection = connection
        self._websocket = websocket
        self._hub = hub
        self._grants = grants
        self._admit = admit
        self._max_cameras = max_cameras
        self._acks = acks
        self._cameras: dict[UUID, _Watched] = {}
        self._by_name: dict[str, _Watched] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Work until the connection is over."""
        close: tuple[int, str] | None = None
        self.connection.shortcut(self.take_ack, self._acks)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name="viewer:read")
                group.create_task(self._write(), name="viewer:write")
        except* _Closing as closing:
            first = closing.exceptions[0]
            close = first.close if isinstance(first, _Closing) else None
        except* WebSocketDisconnect:
            pass
        finally:
            for watched in list(self._cameras.values()):
                self._forget(watched)
        if close is not None:
            with suppress(WebSocketDisconnect):
                await self._websocket.close(*close)

    def surplus(self) -> int:
        """Frames under way beyond one of each camera."""
        return sum(watched.surplus for watched in self._cameras.values())

    async def _read(self) -> None:
        while True:
            received = await self._websocket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1006))
            match _parsed(received.get("text")):
                case Ack() as ack:
                    self._acknowledge(show("camera", ack.camera_id), ack.sequence)
                case Watch() as watch:
                    await self._watch(watch)
                    await asyncio.sleep(PAUSE_S)
                case Stop() as stop:
                    if (watched := self._cameras.get(stop.camera_id)) is not None:
                        watched.viewer.leave(Left.STOPPED)
                    await asyncio.sleep(PAUSE_S)

    def turn(self, watched: _Watched) -> None:
        """A frame of this camera was sent: the next turn is another's."""
        if len(self._cameras) > 1 and self._cameras.get(watched.camera_id) is watched:
            self._cameras[watched.camera_id] = self._cameras.pop(watched.camera_id)

    def take_ack(self, text: bytes) -> bool:
        """Take a message if it is an acknowledgement, without the cost of looking at it closely."""
        if (ack := _ack(text)) is None:
            return False
        self._acknowledge(*ack)
        return True

    def _acknowledge(self, camera: str, sequence: int) -> None:
        if (watched := self._by_name.get(camera)) is None:
            return
        watched.acknowledge(sequence)
        if not watched.viewer.is_filled and len(self._cameras) == 1:
            return
        for waiting in list(self._cameras.values()):
            if waiting.viewer.is_filled:
                waiting.viewer.flush()
                if waiting.viewer.is_filled:
                    self._wake.set()

    async def _watch(self, watch: Watch) -> None:
        try:
            watcher = await self._admit(watch.token, watch.camera_id)
            watched = self._open(watch, watcher)
        except ServiceError as error:
            await self._say(Ended(camera_id=watch.camera_id, reason=error.code))
            return
        await self._say(Watching(camera_id=watch.camera_id, index=watched.index))
        watched.viewer.idle = True  # what comes now may go past the slot, when that is empty
        self._wake.set()

    def _open(self, watch: Watch, watcher: Watcher) -> _Watched:
        before = self._cameras.get(watch.camera_id)
        if before is not None:
            self._forget(before)
        elif len(self._cameras) >= self._max_cameras:
            raise TooManyCamerasWatched
        taken = {watched.index for watched in self._cameras.values()}
        index = before.index if before is not None else next(free for free in count() if free not in taken)
        watched = _Watched(self, watch.camera_id, index, watch.window)
        watched.viewer = watched.open.enter_context(
            self._hub.watching(
                camera_id=watch.camera_id,
                organisation_id=watcher.organisation_id,
                person_id=watcher.person_id,
                outlet=watched,
                expires_in_s=watcher.expires_in_s,
                max_fps=watch.max_fps,
                wake=self._wake.set,
                at_most=watcher.max_viewers,
            )
        )
        watched.open.enter_context(self._grants.watching(watcher, watch.camera_id, watched.viewer.revoke))
        self._cameras[watch.camera_id] = self._by_name[show("camera", watch.camera_id)] = watched
        return watched

    def _forget(self, watched: _Watched) -> None:
        del self._cameras[watched.camera_id], self._by_name[show("camera", watched.camera_id)]
        watched.open.close()

    async def _write(self) -> None:
        while True:
            try:
                async with asyncio.timeout(None if self._cameras else NOTHING_WATCHED_S):
                    await self._wake.wait()
            except TimeoutError:
                if self._cameras:
                    continue
                raise _Closing(NOTHING_WATCHED) from None
            self._wake.clear()
            for watched in list(self._cameras.values()):
                await self._serve(watched)

    async def _serve(self, watched: _Watched) -> None:
        """Send what there is to send of one camera now."""
        viewer = watched.viewer
        if not viewer.idle:
            return  # its `watching` is not said yet
        if viewer.left is not None:
            if self._cameras.get(watched.camera_id) is watched:
                self._forget(watched)
                await self._say(Ended(camera_id=watched.camera_id, reason=viewer.left))
            return
        if (status := viewer.news()) is not None:
            word = "online" if status.online else "offline"
            await self._say(StatusMessage(camera_id=watched.camera_id, status=word, reason=status.reason))
        if viewer.is_filled and watched.has_room():
            await self.connection.drained()  # the frame to send is the newest of that moment
            if watched.has_room():  # an acknowledgement may have sent one meanwhile
                await self._send_frame(watched)

    async def _send_frame(self, watched: _Watched) -> None:
        frame = watched.viewer.take()
        if frame is None:
            return
        watched.note(frame)
        if not self.connection.push_message(framer.framed(frame, watched.index)):
            await self._websocket.send_bytes(b"".join((header_of(frame, watched.index), frame.jpeg)))
        self.turn(watched)

    async def _say(self, message: BaseModel) -> None:
        await self._websocket.send_text(message.model_dump_json())


@lru_cache(maxsize=64)  # all who watch a camera say the same of each of its frames
def _ack(text: bytes) -> tuple[str, int] | None:
    """The camera and the sequence of an acknowledgement."""
    try:
        message = from_json(text)  # a seventh of what json.loads takes
    except ValueError:
        return None
    if type(message) is not dict or message.get("type") != "ack":
        return None
    camera, sequence = message.get("camera_id"), message.get("sequence")
    return (camera, sequence) if type(camera) is str and type(sequence) is int else None


def _parsed(text: str | None) -> Watch | Stop | Ack:
    if text is None or len(text) > MAX_TEXT_CHARS:
        raise _Closing(NOT_THE_PROTOCOL)
    try:
        return UP.validate_json(text)
    except ValidationError:
        raise _Closing(NOT_THE_PROTOCOL) from None
