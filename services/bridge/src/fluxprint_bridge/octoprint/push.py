"""OctoPrint's push socket: its state twice a second, and events as they happen.

Events that happen while nobody listens are lost: whoever listens looks by REST after each `Connected`.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import Unavailable
from fluxprint_bridge.octoprint.state import path_of, text_of

OPEN_TIMEOUT_S = 10
PING_S = 15  # the server itself sends no heartbeat
MAX_MESSAGE_BYTES = 1024 * 1024  # the largest is the history of its temperatures: some 50 kB
MAX_TIME_S = 10**8

#: All events would be up to 190 a second while printing.
EVENTS = (
    "PrintStarted", "PrintDone", "PrintFailed", "PrintCancelling", "PrintCancelled", "PrintPaused", "PrintResumed",
    "PrinterStateChanged", "Connected", "Disconnected", "Error", "PrinterReset",
)  # fmt: skip
#: Of what they tell only this is kept: an event may be as large as a message.
_TEXTS = ("origin", "user", "reason", "error", "state_id")
_SUBSCRIBE = json.dumps(
    {"subscribe": {"state": {"logs": False, "messages": False}, "events": list(EVENTS), "plugins": False}}
)


@dataclass(frozen=True)
class Connected:
    """The socket is open and logged in: what was missed before has to be looked up."""


@dataclass(frozen=True)
class Current:
    """The state message; see `state.read_current`."""

    body: Mapping[str, object]


@dataclass(frozen=True)
class Event:
    """Something happened. `payload` is what is used of OctoPrint's own: short texts, and `time` in seconds."""

    kind: str
    payload: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))

    def text(self, key: str) -> str | None:
        value = self.payload.get(key)
        return value if isinstance(value, str) and value else None


Message = Connected | Current | Event


class _Connection(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        """OctoPrint does not send us anywhere else in its network."""
        return exc


async def listen(client: OctoPrintClient) -> AsyncIterator[Message]:
    """Log in and hear everything until the socket ends. Raises `Unavailable` or `Refused`."""
    login = await client.login()
    url = "ws" + client.url.removeprefix("http") + "/sockjs/websocket"
    try:
        async with _Connection(
            url,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
            proxy=None,
        ) as socket:
            await socket.send(json.dumps({"auth": f"{login.user}:{login.session.get_secret_value()}"}))
            await socket.send(_SUBSCRIBE)
            async for message in _messages(socket):
                yield message
    except (OSError, TimeoutError, InvalidHandshake, WebSocketException) as error:
        raise Unavailable(f"the push socket of OctoPrint ended: {error!r}") from None


async def _messages(socket: ClientConnection) -> AsyncIterator[Message]:
    # The history is sent once and only to a login that was accepted; a refused one is met with silence.
    async with asyncio.timeout(OPEN_TIMEOUT_S):
        while not isinstance(history := (await _receive(socket)).get("history"), dict):
            pass
    yield Connected()
    yield Current(history)
    while True:
        message = await _receive(socket)
        if isinstance(current := message.get("current"), dict):
            yield Current(current)
        elif (event := _event(message.get("event"))) is not None:
            yield event


def _event(told: object) -> Event | None:
    if not isinstance(told, dict) or (kind := told.get("type")) not in EVENTS:
        return None
    payload = told.get("payload")
    if not isinstance(payload, dict):
        return Event(kind)
    kept: dict[str, object] = {name: text_of(payload.get(name)) for name in _TEXTS}
    kept["path"] = path_of(payload.get("path"))
    time = payload.get("time")
    kept["time"] = time if isinstance(time, int | float) and 0 <= time <= MAX_TIME_S else None
    return Event(kind, kept)


async def _receive(socket: ClientConnection) -> dict[str, object]:
    try:
        message = json.loads(await socket.recv())
    except (ValueError, RecursionError):
        return {}
    if not isinstance(message, dict):
        return {}
    if "reauthRequired" in message:
        raise Unavailable(f"OctoPrint asks for a new login: {text_of(message['reauthRequired'])}")
    return message
