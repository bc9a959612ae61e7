"""Sends a camera's pictures to the camera service: only as many as are wanted, each one acknowledged, newest wins.

The contract is in docs/camera.md: one WebSocket a camera, subprotocol `fluxprint.camera.v1`. With one unacknowledged
picture at a time, a slow line costs pictures and not freshness.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus, WebSocketException

from fluxprint_bridge.camera.source import CameraSource, Picture, SourceFailed
from fluxprint_bridge.cloud.errors import CloudError
from fluxprint_bridge.cloud.token import AccessToken
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.doorbell import parse
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

SUBPROTOCOL = "fluxprint.camera.v1"
OPEN_TIMEOUT_S = 10
ACK_TIMEOUT_S = 15.0
WANT_TIMEOUT_S = 10.0
MAX_BACKOFF_S = 30.0
MAX_TEXT_BYTES = 16 * 1024
CLOSE_TOKEN_ENDED = 4401
CLOSE_TAKEN_OVER = 4409
HTTP_NOT_ALLOWED = frozenset({401, 403})


class CameraUplink:
    """Run `run()` under a supervisor."""

    def __init__(self, api_url: str, token: AccessToken, *, printer_id: str, source: CameraSource) -> None:
        self._url = f"ws{api_url.removeprefix('http')}/cameras/ingest?printer_id={printer_id}"
        self._token = token
        self._printer_id = printer_id
        self._source = source
        self._source_failures = 0
        self._served = False

    async def run(self) -> None:
        """Keep connected for ever."""
        failures = 0
        while True:
            try:
                await self._once()
            except InvalidStatus as refused:
                if refused.response.status_code in HTTP_NOT_ALLOWED:
                    self._token.forget()
                log.warning("uplink_refused", printer=self._printer_id, status=refused.response.status_code)
            except WebSocketException as error:
                closed = getattr(error, "rcvd", None)
                if closed is not None and closed.code == CLOSE_TOKEN_ENDED:
                    self._token.forget()
                if closed is not None and closed.code == CLOSE_TAKEN_OVER:
                    self._served = False  # whoever took it over would be thrown out again at once
                log.info("uplink_closed", printer=self._printer_id, error=str(error)[:200])
            except (CloudError, OSError, TimeoutError, InvalidHandshake) as error:
                log.warning("uplink_failed", printer=self._printer_id, error=repr(error)[:300])
            failures = 0 if self._served else failures + 1
            await asyncio.sleep(backoff_s(max(1, failures), cap_s=MAX_BACKOFF_S))

    async def _once(self) -> None:
        self._served = False
        token = await self._token.get()
        async with connect(
            self._url,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]
            additional_headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            open_timeout=OPEN_TIMEOUT_S,
            max_size=MAX_TEXT_BYTES,
            compression=None,
        ) as socket:
            log.info("uplink_connected", printer=self._printer_id)
            demand = _Demand()
            await until_first(self._hear(socket, demand), self._send(socket, demand))

    async def _hear(self, socket: ClientConnection, demand: "_Demand") -> None:
        while True:
            demand.take(parse(await socket.recv()) or {})

    async def _send(self, socket: ClientConnection, demand: "_Demand") -> None:
        async with asyncio.timeout(WANT_TIMEOUT_S):
            await demand.known.wait()
        while True:
            changed = demand.changed
            try:
                if demand.fps > 0:
                    await self._stream(socket, demand)
                else:
                    await self._send_one(socket, demand, await self._source.picture())
                    await _wait(changed, demand.idle_interval_s)
                self._source_works()
            except SourceFailed as failed:
                await _wait(changed, self._source_failed(failed))

    async def _stream(self, socket: ClientConnection, demand: "_Demand") -> None:
        """Read and send at the same time until nobody watches: what is read while a picture travels is skipped."""
        slot = _Slot()

        async def read() -> None:
            async with aclosing(self._source.pictures()) as pictures:
                async for picture in pictures:
                    slot.put(picture)
                    self._source_works()

        async def send() -> None:
            clock = asyncio.get_running_loop().time
            while demand.fps > 0:
                picture = await slot.take()
                sent_at = clock()
                await self._send_one(socket, demand, picture)
                await _wait(demand.changed, 1 / demand.fps - (clock() - sent_at) if demand.fps > 0 else 0)

        await until_first(read(), send())

    async def _send_one(self, socket: ClientConnection, demand: "_Demand", picture: Picture) -> None:
        demand.sequence += 1
        header = {
            "type": "frame",
            "sequence": demand.sequence,
            "captured_at": picture.captured_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "size_bytes": len(picture.jpeg),
        }
        async with asyncio.timeout(ACK_TIMEOUT_S):
            await socket.send(json.dumps(header))
            await socket.send(picture.jpeg)
            while demand.acknowledged < demand.sequence:
                await demand.acknowledgement.wait()
                demand.acknowledgement.clear()
        self._served = True

    def _source_failed(self, failed: SourceFailed) -> float:
        """Say so the first time, and how long to wait before the next try, in seconds."""
        self._source_failures += 1
        if self._source_failures == 1:
            log.warning("camera_failed", printer=self._printer_id, reason=str(failed))
        return backoff_s(self._source_failures, cap_s=MAX_BACKOFF_S)

    def _source_works(self) -> None:
        if self._source_failures:
            log.info("camera_works_again", printer=self._printer_id, failures=self._source_failures)
        self._source_failures = 0


class _Demand:
    """What the camera service wants, and what it has got."""

    def __init__(self) -> None:
        self.fps = 0.0
        self.idle_interval_s = 60.0
        self.known = asyncio.Event()
        self.changed = asyncio.Event()
        self.sequence = 0
        self.acknowledged = 0
        self.acknowledgement = asyncio.Event()

    def take(self, message: Mapping[str, object]) -> None:
        match message:
            case {"type": "want", "fps": int() | float() as fps, **rest}:
                idle = rest.get("idle_interval_s")
                self.fps = max(0.0, float(fps))
                self.idle_interval_s = max(1.0, float(idle)) if isinstance(idle, int | float) else self.idle_interval_s
                self.known.set()
                changed, self.changed = self.changed, asyncio.Event()
                changed.set()
            case {"type": "ack", "sequence": int() as sequence}:
                self.acknowledged = sequence
                self.acknowledgement.set()


class _Slot:
    """The newest picture."""

    def __init__(self) -> None:
        self._picture: Picture | None = None
        self._filled = asyncio.Event()

    def put(self, picture: Picture) -> None:
        self._picture = picture
        self._filled.set()

    async def take(self) -> Picture:
        await self._filled.wait()
        self._filled.clear()
        assert self._picture is not None  # noqa: S101  (filled)
        return self._picture


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
    except TimeoutError:
        pass
