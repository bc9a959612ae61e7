"""The link over Redis pub/sub, for a bridge in the same network as the cloud: the same messages, no WebSocket."""

import asyncio
import json
from collections.abc import Mapping

from pydantic import SecretStr

from fluxprint_bridge.cloud.errors import CloudError
from fluxprint_bridge.cloud.link import Ring
from fluxprint_bridge.cloud.sockets import MAX_BACKOFF_S
from fluxprint_bridge.cloud.telemetry import TelemetrySlots
from fluxprint_bridge.cloud.token import AccessToken
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.doorbell import REDIS_ERRORS, connect, listen
from fluxprint_common.logs import get_logger

log = get_logger(__name__)


class RedisLink:
    """Run `run()` under a supervisor."""

    def __init__(self, redis_url: SecretStr, token: AccessToken, slots: TelemetrySlots, *, ring: Ring) -> None:
        self._redis_url = redis_url
        self._token = token
        self._slots = slots
        self._ring = ring

    async def run(self) -> None:
        """Keep connected for ever."""
        failures = 0
        while True:
            try:
                await self._once()
            except (CloudError, *REDIS_ERRORS) as error:
                failures += 1
                log.warning("redis_link_failed", error=repr(error)[:300], failures=failures)
            await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))

    async def _once(self) -> None:
        bridge_id = await self._token.bridge_id()

        async def heard(_channel: str, message: Mapping[str, object]) -> None:
            if message.get("type") == "doorbell":
                printer_id = message.get("printer_id")
                self._ring(printer_id if isinstance(printer_id, str) else None, str(message.get("reason")))

        async def connected() -> None:
            log.info("redis_link_connected")
            self._ring(None, "connected")

        async with connect(self._redis_url.get_secret_value()) as redis:

            async def send() -> None:
                while True:
                    for message in await self._slots.take():
                        await redis.publish(f"fluxprint:telemetry:{bridge_id}", json.dumps(message))

            channel = f"fluxprint:bridge:{bridge_id}"
            await until_first(listen(redis, [channel], heard, on_connect=connected), send())
