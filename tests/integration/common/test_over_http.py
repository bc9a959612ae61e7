"""What only a real socket shows: refusals while a body is on its way, answers cut in the middle, odd bytes."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from support.serving import serving
from support.small_service import settings_of, small_service

LIMIT = 1024 * 1024

router = APIRouter(tags=["small"])


@router.post("/upload")
async def upload(request: Request) -> int:
    size = 0
    async for part in request.stream():
        size += len(part)
    return size


@router.get("/half")
async def half() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise RuntimeError("boom")

    return StreamingResponse(parts(), headers={"Content-Length": "2000"})


@router.get("/quick")
async def quick() -> str:
    return "quick"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with serving(small_service(router, settings_of(), body_limits={"/api/v1/upload": LIMIT})) as url:
        yield url


async def exchange(url: str, *sent: bytes) -> bytes:
    """Everything that comes back on one connection, from bytes as they are."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for part in sent:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


class TestTooLargeBodies:
    @pytest.mark.parametrize("declared", [True, False])
    async def test_get_their_answer_while_they_are_still_sent(self, url: str, *, declared: bool) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(80):
                yield b"x" * 65_536

        headers = {"Content-Length": str(80 * 65_536)} if declared else {}
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.post("/api/v1/upload", content=pieces(), headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
            assert answer.headers["connection"] == "close"
            assert (await client.get("/api/v1/quick")).status_code == 200

    async def test_that_are_only_promised_are_refused_at_once(self, url: str) -> None:
        head = b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999999\r\n\r\n"
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head)
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()

    async def test_that_are_taken_are_counted_to_the_byte(self, url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.post("/api/v1/upload", content=b"x" * LIMIT)).json() == LIMIT


class TestHalfAnswers:
    async def test_are_cut_so_that_nobody_takes_them_for_whole(self, url: str) -> None:
        async with httpx.AsyncClient(base_url=url) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/api/v1/half")
            assert (await client.get("/api/v1/quick")).status_code == 200


class TestOddBytes:
    @pytest.mark.parametrize(
        "head",
        [
            b"GET /api/v1/quick HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
            b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            b"POST /api/v1/upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFF\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        ],
    )
    async def test_are_refused_and_the_next_is_served(self, url: str, head: bytes) -> None:
        answer = await exchange(url, head)
        assert not answer or answer.startswith(b"HTTP/1.1 4")
        async with httpx.AsyncClient(base_url=url) as client:
            assert (await client.get("/api/v1/quick")).status_code == 200

    async def test_a_path_of_odd_bytes_is_not_found(self, url: str) -> None:
        answer = await exchange(url, b"GET /api/v1/%00%0a%ff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404")
