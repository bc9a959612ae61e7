"""An OctoPrint that is broken, or somebody's who wants to harm: whatever it sends, the bridge goes on."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from fluxprint_bridge.octoprint import client as rest
from fluxprint_bridge.octoprint.client import MAX_ANSWER_BYTES, OctoPrintClient
from fluxprint_bridge.octoprint.errors import NotSent, Unavailable
from fluxprint_bridge.octoprint.monitor import Snapshot
from fluxprint_bridge.octoprint.push import MAX_MESSAGE_BYTES, Connected, Current, Event, Message, listen
from fluxprint_bridge.octoprint.state import MAX_PATH_CHARS, MAX_TEXT_CHARS, read_current, read_job, read_temperatures
from fluxprint_bridge.printer.telemetry import telemetry
from fluxprint_common.ids import new_id, show
from fluxprint_queue.telemetry.schemas import TelemetryMessage
from support.serving import serving

PATH = "fluxprint/2026-11/attempt_1.gcode"
Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def octoprint(serve: Serve) -> AsyncIterator[OctoPrintClient]:
    """One whose answers are written byte by byte by `serve(request, writer)`."""
    answers: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(await reader.readuntil(b"\r\n\r\n"), writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.add(asyncio.create_task(answer(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with server, OctoPrintClient(f"http://127.0.0.1:{port}", SecretStr("KEY")) as client:
            yield client
    finally:
        for task in answers:
            task.cancel()
        await asyncio.gather(*answers, return_exceptions=True)


def head(*headers: str, kind: str = "application/json") -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", f"Content-Type: {kind}", "Connection: close", *headers, "", ""]).encode()


def says(answer: bytes) -> Serve:
    async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return serve


class TestAnswers:
    @pytest.mark.parametrize("call", ["job", "account", "login"])
    async def test_one_without_an_end_is_cut_off(self, call: str) -> None:
        sent = 0

        async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(head() + b"[")
            while sent < 40 * MAX_ANSWER_BYTES:
                writer.write(b" " * 65536)
                sent += 65536
                await writer.drain()

        async with octoprint(serve) as client:
            with pytest.raises(Unavailable, match="more than 1048576 bytes"):
                await getattr(client, call)()
        assert sent < 20 * MAX_ANSWER_BYTES

    async def test_one_that_drips_counts_as_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(head())
            for _ in range(500):
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)

        monkeypatch.setattr(rest, "LOOK_TIMEOUT_S", 0.3)
        async with octoprint(serve) as client:
            with pytest.raises(Unavailable, match="TimeoutError"):
                await client.job()

    async def test_a_start_whose_answer_is_too_large_may_have_been_heard(self) -> None:
        large = b"HTTP/1.1 501 No\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + b" " * 2 * MAX_ANSWER_BYTES
        async with octoprint(says(large)) as client:
            with pytest.raises(Unavailable) as raised:
                await client.select_and_print(PATH)
        assert not isinstance(raised.value, NotSent)

    async def test_nothing_is_unpacked(self) -> None:
        asked = bytearray()

        async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
            asked.extend(request)
            writer.write(head("Content-Encoding: gzip") + gzip.compress(b"{}"))

        async with octoprint(serve) as client:
            with pytest.raises(Unavailable, match="encoding"):
                await client.job()
        assert b"accept-encoding: identity" in bytes(asked).lower()

    async def test_no_cookie_is_kept(self) -> None:
        asked: list[bytes] = []

        async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
            asked.append(request)
            writer.write(head(f"Set-Cookie: c{len(asked)}={'x' * 1000}; Path=/") + b'{"name": "a", "permissions": []}')

        async with octoprint(serve) as client:
            for _ in range(3):
                await client.account()
        assert not any(b"cookie" in request.lower() for request in asked)

    @pytest.mark.parametrize("nested", [b"[" * 200_000, b'{"a":' * 100_000])
    async def test_nesting_is_broken_json(self, nested: bytes) -> None:
        async with octoprint(says(head() + nested)) as client:
            with pytest.raises(Unavailable, match="broken JSON"):
                await client.job()

    async def test_it_sends_nobody_elsewhere(self) -> None:
        moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/api/job\r\nContent-Length: 0\r\n\r\n"
        async with octoprint(says(moved)) as client:
            with pytest.raises(Unavailable, match="302"):
                await client.job()

    async def test_texts_are_short_and_plain(self) -> None:
        body = json.dumps({"name": "\ud800\0" + "x" * 10_000, "permissions": ["STATUS", 7, []]})
        async with octoprint(says(head() + body.encode())) as client:
            account = await client.account()
        assert account.user == "  " + "x" * (MAX_TEXT_CHARS - 2)
        assert account.permissions == {"STATUS"}

    async def test_a_path_that_nothing_can_store_can_be_asked_for(self) -> None:
        job = read_job({"job": {"file": {"path": "\ud800" + "x" * 100_000}}, "progress": {}, "state": "Printing"})
        assert job.path is not None
        assert len(job.path) == MAX_PATH_CHARS
        async with octoprint(says(b"HTTP/1.1 404 N\r\nContent-Type: application/json\r\n\r\n{}")) as client:
            assert await client.file(job.path) is None


class TestLog:
    async def test_one_that_unpacks_to_gigabytes_is_not_unpacked(self) -> None:
        bomb = gzip.compress(b"\n" * 40_000_000)
        async with octoprint(says(head("Content-Encoding: gzip", kind="text/plain") + bomb)) as client:
            assert await client.log_trace(PATH) is None

    async def test_one_without_an_end_is_given_up(self) -> None:
        async def serve(_request: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(head(kind="text/plain"))
            while True:
                writer.write(b"x" * 1_000_000)
                await writer.drain()

        async with octoprint(serve) as client:
            assert await client.log_trace(PATH) is None


async def heard_from(*messages: str) -> list[Message]:
    """What the bridge hears of a push socket that says this after its history, and closes."""

    async def login(_request: Request) -> JSONResponse:
        return JSONResponse({"name": "bridge", "session": "s"})

    async def push(socket: WebSocket) -> None:
        await socket.accept()
        assert "auth" in await socket.receive_json()
        assert "subscribe" in await socket.receive_json()
        await socket.send_text(json.dumps({"history": {"state": {"text": "Operational"}}}))
        for message in messages:
            await socket.send_text(message)
        await socket.close()

    routes = [Route("/api/login", login, methods=["POST"]), WebSocketRoute("/sockjs/websocket", push)]
    heard: list[Message] = []

    async def hear(client: OctoPrintClient) -> None:
        async for message in listen(client):
            heard.append(message)

    async with (
        serving(Starlette(routes=routes), lifespan=False) as url,
        OctoPrintClient(url, SecretStr("KEY")) as client,
    ):
        with pytest.raises(Unavailable):
            await hear(client)
    assert isinstance(heard[0], Connected)
    assert isinstance(heard[1], Current)
    return heard[2:]


def event(kind: str, **payload: object) -> str:
    return json.dumps({"event": {"type": kind, "payload": payload}})


class TestPush:
    async def test_of_an_event_only_what_is_used_is_kept(self) -> None:
        much = "x" * 100_000
        (done,) = await heard_from(
            event("PrintDone", path=PATH, origin="local", time=2, user=f"\ud800{much}", error=[much], **{much: much})
        )
        assert isinstance(done, Event)
        assert {name: value for name, value in done.payload.items() if value is not None} == {
            "path": PATH,
            "origin": "local",
            "time": 2,
            "user": " " + much[: MAX_TEXT_CHARS - 1],
        }

    async def test_an_event_that_nobody_asked_for_is_dropped(self) -> None:
        assert await heard_from(event("FileAdded", path=PATH), event("x" * 100_000), '{"event": 7}') == []

    @pytest.mark.parametrize("time", ["NaN", "Infinity", "-1", "1e400", "9" * 400, '"x"', "[]"])
    async def test_an_impossible_time_is_none(self, time: str) -> None:
        (done,) = await heard_from('{"event": {"type": "PrintDone", "payload": {"time": ' + time + "}}}")
        assert isinstance(done, Event)
        assert done.payload["time"] is None

    async def test_what_is_nested_too_deeply_is_no_message(self) -> None:
        assert await heard_from("[" * 200_000, "null", "{", event("Error", error="heard")) == [
            Event(
                "Error", {**dict.fromkeys(("origin", "user", "reason", "state_id", "path", "time")), "error": "heard"}
            )
        ]

    async def test_a_large_message_ends_the_connection(self) -> None:
        assert await heard_from(" " * (MAX_MESSAGE_BYTES + 1), event("Error")) == []

    async def test_it_sends_nobody_elsewhere(self) -> None:
        async def serve(request: bytes, writer: asyncio.StreamWriter) -> None:
            if request.startswith(b"POST"):
                writer.write(head() + b'{"name": "bridge", "session": "s"}')
            else:
                writer.write(b"HTTP/1.1 302 Found\r\nLocation: %s/elsewhere\r\nContent-Length: 0\r\n\r\n" % elsewhere)

        strays: list[bytes] = []

        async def note(request: bytes, writer: asyncio.StreamWriter) -> None:
            strays.append(request)

        async with octoprint(note) as other, octoprint(serve) as client:
            elsewhere = other.url.replace("http", "ws", 1).encode()
            with pytest.raises(Unavailable):
                await anext(aiter(listen(client)))
        assert strays == []


#: JSON as Python reads it, with what an OctoPrint could say where a text or a figure belongs.
texts = st.text(st.characters(), max_size=400) | st.sampled_from(["Printing", "Offline", "Operational", "\0", "\ud800"])
figures = (
    st.floats() | st.integers() | st.sampled_from([-1, 2010, 10**8 + 1, 10**400, -(10**400), float("nan")]) | st.none()
)
anything = texts | figures | st.booleans() | st.lists(figures, max_size=2) | st.dictionaries(texts, figures, max_size=2)
heaters = st.dictionaries(
    texts, anything | st.fixed_dictionaries({"actual": anything, "target": anything}), max_size=30
)
messages = st.fixed_dictionaries(
    {
        "state": st.fixed_dictionaries({"text": texts, "error": texts}),
        "job": st.fixed_dictionaries({"file": st.fixed_dictionaries({"path": texts}), "user": anything}),
        "progress": st.fixed_dictionaries({"completion": figures, "printTime": figures, "printTimeLeft": figures}),
        "temps": st.lists(heaters, max_size=2),
        "currentZ": anything,
    }
)
PRINTER = show("printer", new_id())


class TestTelemetry:
    @given(messages)
    @settings(max_examples=150, deadline=None)
    def test_the_queue_takes_it_whatever_octoprint_says(self, message: dict[str, object]) -> None:
        try:
            snapshot = Snapshot(read_current(message), None, read_temperatures(message) or {})
        except ValueError:  # then nothing of it is shown
            snapshot = Snapshot(problem=str(message))
        data = json.loads(json.dumps(telemetry(snapshot, None, str(message["state"]))))
        TelemetryMessage.model_validate({"type": "telemetry", "printer_id": PRINTER, "data": data})

    def test_one_odd_heater_takes_no_other_along(self) -> None:
        message: dict[str, object] = {
            "state": {"text": "Printing"},
            "job": {"file": {}},
            "progress": {"completion": 50, "printTime": -1, "printTimeLeft": float("inf")},
            "temps": [{"time": 1, "tool0": {"actual": 2010}, "tool1": {"actual": "hot"}, "bed": {"actual": 60.0}}],
            "currentZ": 0.4,
        }
        shown = telemetry(Snapshot(read_current(message), None, read_temperatures(message) or {}), None, None)
        assert shown["temperatures"] == {"bed": {"actual": 60.0, "target": None}}
        assert (shown["progress"], shown["print_time_s"], shown["print_time_left_s"]) == (0.5, None, None)
        assert shown["height_mm"] == 0.4
