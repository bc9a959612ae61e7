"""One connection to the camera service, for all cameras of the bridge: what is sent on it, and in what order.

The contract is in docs/camera-uplink.md, subprotocol `fluxprint.camera.v2`. At most one unacknowledged picture a camera
and two a connection, cameras in turn: a slow line costs pictures of all cameras alike, and not freshness.
"""

import asyncio
import json
import struct
from collections.abc import Mapping
from contextlib import AsyncExitStack

from websockets.asyncio.client import ClientConnection

from fluxprint_bridge.camera.config import CameraConfig
from fluxprint_bridge.camera.lane import Lane, Limits, wait_for
from fluxprint_bridge.camera.roster import Place, Roster
from fluxprint_bridge.camera.source import CameraSource
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger
from fluxprint_common.messages import parse

log = get_logger(__name__)

MAX_IN_FLIGHT = 2
ACK_TIMEOUT_S = 30.0
ANSWER_TIMEOUT_S = 20.0
#: What is refused is announced again, for it may be allowed by then.
ANNOUNCE_AGAIN_S = 60.0
REFUSAL_NOTICED_S = 2.0
#: Without a refusal for so long, the pauses begin with the shortest again.
CALM_S = 120.0
MAX_CHANNEL = 2**16 - 1
MAX_CAMERAS = 256

_HEADER = struct.Struct("!BBHQQ")
_VERSION, _NO_FLAGS = 2, 0


class NoCameraLeft(Exception):
    """There is nothing to be connected for."""


class Session:
    """Run `run()` for as long as the connection is there; it ends by raising."""

    def __init__(self, socket: ClientConnection, roster: Roster) -> None:
        self.served = False  #: whether a picture was acknowledged
        self._socket = socket
        self._roster = roster
        self._limits = Limits(max_frame_bytes=0, max_width=0)
        self._numbers: dict[tuple[Place, CameraConfig], int] = {}
        self._lanes: dict[int, Lane] = {}
        self._reading: dict[int, asyncio.Task[None]] = {}
        self._turns: list[int] = []  # channels, the one that waits longest first
        self._sequence = 0
        self._in_flight: dict[int, tuple[int, float]] = {}  # sequence and deadline by channel
        self._wake = asyncio.Event()
        self._answered = asyncio.Event()
        self._refused: dict[int, str] = {}
        self._refusals = 0

    async def run(self) -> None:
        """Raises what ends the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._hear(group))
                group.create_task(self._announce())
                group.create_task(self._send())
                group.create_task(self._stay_heard())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None

    # -- which cameras -------------------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        while True:
            changed = self._roster.changed
            cameras = self._roster.cameras()
            if not cameras:
                raise NoCameraLeft
            named = list(cameras.items())[:MAX_CAMERAS]
            numbered = [(self._number(place, config), place, config) for place, config in named]
            for channel in self._lanes.keys() - {channel for channel, _, _ in numbered}:
                self._stop(channel)
            self._answered.clear()
            await self._tell("cameras", cameras=[_described(*one) for one in numbered])
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                await self._answered.wait()
            await self._until_due(changed)

    async def _until_due(self, changed: asyncio.Event) -> None:
        """Wait until there is another list, or what is refused is worth another try.

        A camera may be refused at any time: another connection takes it over. Two must not chase each other.
        """
        since = asyncio.get_running_loop().time()
        while not self._refused and not changed.is_set():
            await wait_for(changed, REFUSAL_NOTICED_S)
            if asyncio.get_running_loop().time() - since >= CALM_S:
                self._refusals = 0
        if self._refused:
            self._refusals += 1
            await wait_for(changed, backoff_s(self._refusals + 3, cap_s=ANNOUNCE_AGAIN_S))

    def _number(self, place: Place, config: CameraConfig) -> int:
        """A channel for each camera as it is now: one that changed is another one."""
        number = self._numbers.setdefault((place, config), len(self._numbers))
        if number > MAX_CHANNEL:
            raise ConnectionError("no channel is left on this connection")
        return number

    def _take_answer(self, message: Mapping[str, object], group: asyncio.TaskGroup) -> None:
        limits = self._limits
        limits.max_frame_bytes = _count(message.get("max_frame_bytes"), limits.max_frame_bytes)
        limits.max_width = _count(message.get("max_width"), limits.max_width)
        accepted = set(_by_channel(message.get("cameras")))
        refused = {channel: str(one.get("code")) for channel, one in _by_channel(message.get("refused")).items()}
        for channel in self._lanes.keys() - accepted:
            self._stop(channel)
        configs = {number: place_and_config for place_and_config, number in self._numbers.items()}
        for channel in accepted - self._lanes.keys():
            if channel in configs:
                place, config = configs[channel]
                self._start(channel, place, config, group)
        for channel, code in refused.items():
            if self._refused.get(channel) != code and channel in configs:
                (printer_id, key), _ = configs[channel]
                log.warning("camera_refused", printer=printer_id, camera=key, code=code)
        self._refused = refused
        self._answered.set()

    def _start(self, channel: int, place: Place, config: CameraConfig, group: asyncio.TaskGroup) -> None:
        printer_id, key = place
        source = CameraSource(config)
        lane = self._lanes[channel] = Lane(channel, f"{printer_id}/{key}", source, self._limits, changed=self._wake.set)
        self._turns.append(channel)

        async def read() -> None:
            async with AsyncExitStack() as stack:
                stack.push_async_callback(source.close)
                await lane.read()

        self._reading[channel] = group.create_task(read())

    def _stop(self, channel: int) -> None:
        del self._lanes[channel]
        self._turns.remove(channel)
        self._in_flight.pop(channel, None)  # the relay acknowledges nothing of it any more
        self._reading.pop(channel).cancel()

    # -- what comes ----------------------------------------------------------------------------------------------------

    async def _hear(self, group: asyncio.TaskGroup) -> None:
        while True:
            message = parse(await self._socket.recv()) or {}
            match message:
                case {"type": "accepted"}:
                    self._take_answer(message, group)
                case {"type": "want", "channel": int() as channel, "fps": int() | float() as fps}:
                    lane = self._lanes.get(channel)
                    idle_s = message.get("idle_interval_s")
                    if lane is not None:
                        lane.want(float(fps), float(idle_s) if isinstance(idle_s, int | float) else 10.0)
                        self._wake.set()
                case {"type": "ack", "channel": int() as channel, "sequence": int() as sequence}:
                    if self._in_flight.get(channel, (None,))[0] == sequence:
                        del self._in_flight[channel]
                        self.served = True
                        self._wake.set()

    # -- what is sent --------------------------------------------------------------------------------------------------

    async def _send(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._wake.clear()
            await self._tell_states()
            now = clock()
            if any(deadline <= now for _, deadline in self._in_flight.values()):
                raise TimeoutError("no acknowledgement came")
            lane = self._whose_turn(now)
            if lane is not None:
                await self._send_picture(lane, now)
                continue
            later = [deadline for _, deadline in self._in_flight.values()]
            if len(self._in_flight) < MAX_IN_FLIGHT:
                free = [lane.due_at() for lane in self._lanes.values() if not self._is_busy(lane)]
                later += [due for due in free if due is not None]
            if later:
                await wait_for(self._wake, min(later) - now)
            else:
                await self._wake.wait()

    def _is_busy(self, lane: Lane) -> bool:
        return lane.channel in self._in_flight

    def _whose_turn(self, now: float) -> Lane | None:
        if len(self._in_flight) >= MAX_IN_FLIGHT:
            return None
        for channel in self._turns:
            lane = self._lanes[channel]
            due = lane.due_at()
            if not self._is_busy(lane) and due is not None and due <= now:
                self._turns.remove(channel)
                self._turns.append(channel)
                return lane
        return None

    async def _send_picture(self, lane: Lane, now: float) -> None:
        picture = lane.take(now)
        self._sequence += 1
        deadline = now + ACK_TIMEOUT_S
        self._in_flight[lane.channel] = (self._sequence, deadline)
        captured_ms = int(picture.captured_at.timestamp() * 1000)
        header = _HEADER.pack(_VERSION, _NO_FLAGS, lane.channel, self._sequence, captured_ms)
        async with asyncio.timeout_at(deadline):
            await self._socket.send(header + picture.jpeg)
        lane.heard = True

    async def _tell_states(self) -> None:
        for lane in list(self._lanes.values()):
            state = lane.state
            if state is not None and not lane.state_told:
                lane.state_told = lane.heard = True
                word = "ok" if state.ok else "failed"
                await self._tell("state", channel=lane.channel, state=word, reason=state.reason, detail=state.detail)

    async def _stay_heard(self) -> None:
        """A camera of which nothing was sent for an interval says how it is: silence means a dead connection."""
        while True:
            await asyncio.sleep(min((lane.idle_interval_s for lane in self._lanes.values()), default=1.0))
            for lane in self._lanes.values():
                if not lane.heard:
                    lane.state_told = False
                    self._wake.set()
                lane.heard = False

    async def _tell(self, kind: str, **fields: object) -> None:
        await self._socket.send(json.dumps({"type": kind, **fields}))


def _described(channel: int, place: Place, config: CameraConfig) -> dict[str, object]:
    return {
        "channel": channel,
        "printer_id": place[0],
        "key": config.key,
        "name": config.name,
        "rotate": config.rotate,
        "flip_h": config.flip_h,
        "flip_v": config.flip_v,
    }


def _by_channel(value: object) -> dict[int, Mapping[str, object]]:
    entries = value if isinstance(value, list) else []
    return {channel: one for one in entries if isinstance(one, dict) and isinstance(channel := one.get("channel"), int)}


def _count(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and value > 0 else otherwise
