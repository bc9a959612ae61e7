"""The link to the queue service: doorbells down, telemetry up, over one outbound WebSocket.

Nothing depends on a doorbell but speed: after each connect every printer looks by itself.
"""

import asyncio
import json
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudError
from fluxprint_bridge.cloud.sockets import (
    CLOSE_TAKEN_OVER,
    CLOSE_TOKEN_ENDED,
    MAX_BACKOFF_S,
    open_socket,
    socket_url,
)
from fluxprint_bridge.cloud.telemetry import TelemetrySlots
from fluxprint_bridge.cloud.token import AccessToken
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger
from fluxprint_common.messages import parse

log = get_logger(__name__)

SUBPROTOCOL = "fluxprint.bridge.v1"
#: When another process connected with the same token, this one stands back, each time for longer: two must not chase
#: each other.
TAKEN_OVER_PAUSE_S = 60.0
MAX_TAKEN_OVER_PAUSE_S = 900.0
HTTP_UNAUTHORIZED = 401

#: Called with a printer's id, or None for all, and the reason.
Ring = Callable[[str | None, str], None]
#: Called with whether another process works with our token.
StandBack = Callable[[bool], None]


def taken_over_pause_s(times_before: int) -> float:
    """How many seconds to stand back: a minute, doubling up to a quarter of an hour."""
    return min(TAKEN_OVER_PAUSE_S * (1 << min(times_before, 10)), MAX_TAKEN_OVER_PAUSE_S)


class WebSocketLink:
    """Run `run()` under a supervisor."""

    def __init__(
        self, api_url: str, token: AccessToken, slots: TelemetrySlots, *, ring: Ring, stand_back: StandBack
    ) -> None:
        self._url = socket_url(api_url, "/bridge/link")
        self._token = token
        self._slots = slots
        self._ring = ring
        self._stand_back = stand_back
        self._taken_over = 0
        self._connected_at = 0.0

    async def run(self) -> None:
        """Keep connected for ever."""
        failures = 0
        while True:
            try:
                await self._once()
                failures = 0
            except ConnectionClosed as closed:
                failures = await self._after_close(closed, failures)
            except InvalidStatus as refused:
                failures += 1
                if refused.response.status_code == HTTP_UNAUTHORIZED:
                    self._token.forget()
                log.warning("link_refused", status=refused.response.status_code)
            except (CloudError, OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
                failures += 1
                log.warning("link_failed", error=repr(error)[:300], failures=failures)
            await asyncio.sleep(backoff_s(max(failures, 1), cap_s=MAX_BACKOFF_S))

    async def _after_close(self, closed: ConnectionClosed, failures: int) -> int:
        code = closed.rcvd.code if closed.rcvd else None
        log.info("link_closed", code=code)
        if code == CLOSE_TOKEN_ENDED:
            self._token.forget()
            return 0
        if code == CLOSE_TAKEN_OVER:
            if clock.now() - self._connected_at > MAX_TAKEN_OVER_PAUSE_S:
                self._taken_over = 0  # the other one had gone
            pause_s = taken_over_pause_s(self._taken_over)
            self._taken_over += 1
            log.error("another_bridge_has_this_token", pause_s=pause_s)
            self._stand_back(True)
            await asyncio.sleep(pause_s)
            self._stand_back(False)
        return failures + 1

    async def _once(self) -> None:
        token = await self._token.get()
        async with open_socket(self._url, SUBPROTOCOL, token) as socket:
            self._connected_at = clock.now()
            log.info("link_connected")
            self._ring(None, "connected")
            await until_first(self._hear(socket), self._send(socket))

    async def _send(self, socket: ClientConnection) -> None:
        while True:
            for message in await self._slots.take():
                await socket.send(json.dumps(message))

    async def _hear(self, socket: ClientConnection) -> None:
        while True:
            message = parse(await socket.recv()) or {}
            if message.get("type") == "doorbell":
                printer_id = message.get("printer_id")
                self._ring(printer_id if isinstance(printer_id, str) else None, str(message.get("reason")))
