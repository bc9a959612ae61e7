"""A camera that sends the bridge elsewhere, or more than a picture."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fluxprint_bridge.camera import source
from fluxprint_bridge.camera.source import CameraSource, SourceFailed

JPEG = b"\xff\xd8\xff\xe0 a picture \xff\xd9"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@asynccontextmanager
async def camera(*answers: bytes, pause_s: float = 0) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives one answer after the other, the bytes of a body `pause_s` apart; its address, and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        given = answers[len(asked) - 1]
        head, end, body = given.partition(b"\r\n\r\n")
        writer.write(head + end)
        for byte in body:
            writer.write(bytes([byte]))
            if pause_s and not writer.is_closing():
                await asyncio.sleep(pause_s)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked


async def picture(url: str) -> bytes:
    camera = CameraSource(url)
    try:
        return (await camera.picture()).jpeg
    finally:
        await camera.close()


class TestRedirects:
    async def test_to_itself_are_followed(self) -> None:
        async with camera(answer(b"", "Location: /now.jpg", status="302 Found"), answer(JPEG)) as (url, asked):
            assert await picture(url + "/snapshot") == JPEG
        assert asked[1].startswith(b"GET /now.jpg ")

    async def test_to_others_are_not(self) -> None:
        async with camera(answer(JPEG)) as (other, strays):
            moved = answer(b"", f"Location: {other}/admin?reboot=1", status="302 Found")
            async with camera(moved) as (url, _):
                with pytest.raises(SourceFailed, match="CAMERA_URL"):
                    await picture(url)
        assert strays == []

    async def test_in_circles_end(self) -> None:
        async with camera(*9 * [answer(b"", "Location: /again", status="307 Again")]) as (url, asked):
            with pytest.raises(SourceFailed, match="in circles"):
                await picture(url)
        assert len(asked) == 4


class TestBounds:
    async def test_a_picture_that_drips_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source, "SNAPSHOT_WITHIN_S", 0.3)
        async with camera(answer(JPEG + b"." * 1000), pause_s=0.01) as (url, _):
            with pytest.raises(SourceFailed, match="too slowly"):
                await picture(url)

    async def test_nothing_is_unpacked_and_no_cookie_kept(self) -> None:
        cookie = answer(b"", "Set-Cookie: a=b; Path=/", "Location: /now.jpg", status="302 Found")
        async with camera(cookie, answer(JPEG, "Content-Encoding: gzip")) as (url, asked):
            assert await picture(url) == JPEG  # as it came
        assert b"cookie" not in asked[1].lower()
        assert b"accept-encoding: identity" in asked[0].lower()
