"""A load generator that costs little itself: keep-alive connections on which one request follows the other."""

import asyncio


class LoadFailed(Exception):
    """An answer was not a 200."""


async def load(port: int, path: str, *, authorization: str, connections: int, requests: int) -> None:
    """Send so many GETs to 127.0.0.1 over so many connections. Raises `LoadFailed`."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {authorization}\r\nAccept: */*\r\n\r\n"
    ).encode()
    await asyncio.gather(*(_connection(port, request, requests // connections) for _ in range(connections)))


async def get(port: int, path: str, *, authorization: str) -> bytes:
    """The body of one GET. Raises `LoadFailed`."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: {authorization}\r\n\r\n".encode()
    return await _connection(port, request, 1)


async def _connection(port: int, request: bytes, requests: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = b""
    try:
        for _ in range(requests):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(_length(head))
            if not head.startswith(b"HTTP/1.1 200 "):
                raise LoadFailed(f"{head.decode()}{body.decode(errors='replace')}")
    finally:
        writer.close()
    return body


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"\r\ncontent-length:")
    return int(rest.partition(b"\r\n")[0])
