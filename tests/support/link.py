"""A bridge's end of the link to the queue service, as tests hold it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from support.queue import QueueWorld

SUBPROTOCOL = "fluxprint.bridge.v1"


@asynccontextmanager
async def link(
    world: QueueWorld, *, headers: dict[str, str] | None = None, subprotocol: str = SUBPROTOCOL
) -> AsyncIterator[ClientConnection]:
    url = f"ws{str(world.http.base_url).rstrip('/').removeprefix('http')}/api/v1/bridge/link"
    sent = world.bridge_headers() if headers is None else headers
    async with connect(url, additional_headers=sent, subprotocols=[subprotocol]) as socket:  # type: ignore[list-item]
        yield socket


async def message(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        found: dict[str, Any] = json.loads(await socket.recv())
        return found


async def ring(socket: ClientConnection, reason: str) -> dict[str, Any]:
    """The next doorbell with this reason; others may come before it."""
    while True:
        found = await message(socket)
        if found["type"] == "doorbell" and found["reason"] == reason:
            return found


def telemetry(printer: str, **changes: Any) -> dict[str, Any]:
    data = {
        "at": datetime.now(UTC).isoformat(),
        "connection": "online",
        "state": "idle",
        "text": "Operational",
        "attempt_id": None,
        "progress": None,
        "print_time_s": None,
        "print_time_left_s": None,
        "temperatures": {"tool0": {"actual": 21.5, "target": 0.0}},
        "error": None,
        **changes,
    }
    return {"type": "telemetry", "printer_id": printer, "data": data}
