"""A slow line between a bridge and the cloud."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

#: What a router keeps for a line: little, or the picture would be old for its sake.
BUFFER_BYTES = 4096
SLICE_S = 0.02


@asynccontextmanager
async def slow_line(target: str, *, bytes_per_s: float) -> AsyncIterator[str]:
    """Forwards connections to `target`, what goes there at a rate that all of them share; the address to go to."""
    parts = urlsplit(target)
    turn = asyncio.Lock()

    async def up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(max(1, int(bytes_per_s * SLICE_S))):
            async with turn:
                await asyncio.sleep(len(data) / bytes_per_s)
            writer.write(data)
            await writer.drain()

    async def down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(parts.hostname, parts.port)
            both = [asyncio.create_task(up(reader, there_writer)), asyncio.create_task(down(there_reader, writer))]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
                there_writer.close()
        writer.close()

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)  # those who are let in inherit it
    server = await asyncio.start_server(forward, sock=listening, limit=BUFFER_BYTES)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.close()
