"""One keep-alive connection to a server of this machine, on which requests follow each other. It costs little."""

import asyncio
import json
from collections.abc import Mapping
from typing import Self


class Wire:
    """`async with Wire(port, headers) as wire: status, body = await wire.send("GET", "/api/v1/...")`"""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._port = port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._writer.close()

    async def send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
        """Status and body of the answer."""
        content = json.dumps(body).encode() if body is not None else b""
        self._writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._headers}"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
            + content
        )
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        _, found, rest = head.partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0]) if found else 0  # 204 has none
        return int(head.split(b" ", 2)[1]), await self._reader.readexactly(length)
