"""A server's side of connections, in tests without a server."""

import asyncio
import socket


class Transport(asyncio.Transport):
    """A server's side of a connection, that keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.kept = b""
        self.closing = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.near if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return len(self.kept)

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.kept += bytes(data)

    def close(self) -> None:
        self.closing = True

    def abort(self) -> None:
        self.closing, self.kept = True, b""

    def received(self) -> bytes:
        """What the other side has got."""
        self.far.setblocking(False)
        got = b""
        try:
            while data := self.far.recv(1 << 20):
                got += data
        except BlockingIOError:
            pass
        return got
