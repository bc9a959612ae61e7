"""OctoPrint's answers, and those of its stand-in while it boots, told apart: real bytes over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic import SecretStr

from fluxprint_bridge.octoprint import client as octoprint
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import (
    Conflict,
    Failed,
    KeyRefused,
    Missing,
    NotSent,
    OctoPrintError,
    Refused,
    Unavailable,
)

BOOTING_GET = b"Not found"
BOOTING_POST = (
    b"HTTP/1.0 501 Unsupported method ('POST')\r\nServer: BaseHTTP/0.6\r\nContent-Type: text/html\r\n\r\n<html>"
)
BOOTING_PAGE = b"HTTP/1.0 200 OK\r\nServer: BaseHTTP/0.6\r\nContent-Type: text/html\r\n\r\nOctoPrint is still starting"
PROXY_404 = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"
PROXY_503 = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"


def json_answer(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[OctoPrintClient]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, OctoPrintClient(f"http://127.0.0.1:{port}", SecretStr("KEY")) as client:
        yield client


def job(client: OctoPrintClient) -> Awaitable[object]:
    return client.job()


def file(client: OctoPrintClient) -> Awaitable[object]:
    return client.file("fluxprint/x.gcode")


def start(client: OctoPrintClient) -> Awaitable[object]:
    return client.select_and_print("fluxprint/x.gcode")


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "call", "error"),
        [
            (BOOTING_GET, job, Unavailable),
            (BOOTING_GET, file, Unavailable),
            (BOOTING_PAGE, job, Unavailable),
            (BOOTING_POST, start, NotSent),
            (PROXY_404, file, Unavailable),
            (PROXY_404, start, Unavailable),
            (PROXY_503, start, Unavailable),
            (b"", start, Unavailable),
            (json_answer("200 OK", b"{"), job, Unavailable),
            (json_answer("200 OK", b'{"state": 1}'), job, Unavailable),
            (json_answer("409 CONFLICT", b'{"error": "busy"}'), start, Conflict),
            (json_answer("404 NOT FOUND", b'{"error": "gone"}'), start, Missing),
            (json_answer("403 FORBIDDEN", b'{"error": "no permission"}'), start, KeyRefused),
            (json_answer("400 BAD REQUEST", b'{"error": "CSRF validation failed"}'), start, KeyRefused),
            (json_answer("400 BAD REQUEST", b'{"error": "no"}'), start, Refused),
            (json_answer("500 ERROR", b'{"error": "oops"}'), start, Failed),
        ],
    )
    async def test_each_has_its_class(
        self, answer: bytes, call: Callable[[OctoPrintClient], Awaitable[object]], error: type[OctoPrintError]
    ) -> None:
        async with answering(answer) as client:
            with pytest.raises(OctoPrintError) as raised:
                await call(client)
        assert type(raised.value) is error

    async def test_only_octoprints_own_404_means_that_a_file_is_missing(self) -> None:
        async with answering(json_answer("404 NOT FOUND", b'{"error": "gone"}')) as client:
            assert await client.file("fluxprint/x.gcode") is None

    async def test_nobody_listens(self) -> None:
        async with OctoPrintClient("http://127.0.0.1:9", SecretStr("KEY")) as client:
            with pytest.raises(NotSent) as raised:
                await client.select_and_print("fluxprint/x.gcode")
        assert "127.0.0.1" not in str(raised.value)


@asynccontextmanager
async def saying(answers: dict[str, bytes]) -> AsyncIterator[OctoPrintClient]:
    """OctoPrint with an answer for each path and query; 404 for all others."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        target = head.split(b" ")[1].decode().removeprefix("/api/files/local/")
        writer.write(answers.get(target, json_answer("404 Not Found", b"{}")))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, OctoPrintClient(f"http://127.0.0.1:{port}", SecretStr("KEY")) as client:
        yield client


class TestFilesOfMissingFolders:
    FAILED = json_answer("500 Internal Server Error", b"{}")
    THERE = json_answer("200 OK", b'{"children": []}')

    async def test_are_missing_where_both_lists_lack_the_folder(self) -> None:
        for answers in ({"a/b/x.gcode": self.FAILED}, {"a/b/x.gcode": self.FAILED, "a": self.THERE}):
            async with saying(answers) as client:
                assert await client.find("a/b/x.gcode") is None

    @pytest.mark.parametrize("listed", ["a/b", "a/b?recursive=true"])
    async def test_are_not_where_one_list_has_it(self, listed: str) -> None:
        async with saying({"a/b/x.gcode": self.FAILED, "a": self.THERE, listed: self.THERE}) as client:
            with pytest.raises(Unavailable):
                await client.find("a/b/x.gcode")

    async def test_are_not_where_something_before_octoprint_failed(self) -> None:
        async with saying({"a/b/x.gcode": json_answer("502 Bad Gateway", b"{}")}) as client:
            with pytest.raises(Unavailable):
                await client.find("a/b/x.gcode")

    async def test_decide_nothing_where_it_matters(self) -> None:
        async with saying({"a/b/x.gcode": self.FAILED}) as client:
            with pytest.raises(Unavailable):
                await client.file("a/b/x.gcode")


class TestPrintedSince:
    async def test_reads_all_folders_and_passes_over_what_is_too_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def entry(name: str, **more: object) -> dict[str, object]:
            return {"name": name, "type": "machinecode", "date": 5, **more}

        def printed(at: float) -> dict[str, object]:
            return {"success": 0, "failure": 1, "last": {"success": False, "date": at}}

        folders = [{"name": name, "type": "folder"} for name in ("large", "of", "gone")]
        files = [entry("a", prints=printed(11)), entry("b", prints=printed(9)), entry("c", prints="odd")]
        lists = {
            "": {"files": [*files, *folders]},
            "/large": {"children": [entry("d", prints=printed(12)), entry("x" * 5000)]},
            "/of": {"children": [{"name": "of", "type": "folder"}, entry("e")]},
            "/of/of": {"children": [entry("f", prints=printed(13))]},
        }

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            target = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            found = lists.get(target.removeprefix("/api/files/local"))
            status = "200 OK" if found else "404 NOT FOUND"
            writer.write(json_answer(status, json.dumps(found or {"error": "missing"}).encode()))
            writer.close()

        monkeypatch.setattr(octoprint, "MAX_LIST_BYTES", 3000)
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, OctoPrintClient(f"http://127.0.0.1:{port}", SecretStr("KEY")) as client:
            assert sorted([path async for path, _ in client.printed_since(10)]) == ["a", "of/of/f"]
