"""The fast path of streams: a frame that all viewers share goes to their sockets past the server's own way of sending.

This reaches below ASGI: it writes to the socket of a response that has begun, while nothing of it waits in the server.
What the socket does not take at once goes through the server's transport, behind which the connection is the plain
path's again (docs/adr/0015-camera-fast-path.md).
"""

import asyncio
import os
import sys
from collections.abc import Sequence

from fluxprint_camera.relay.frame import Frame


class _MemoryFile:
    """The frame that is being sent, in a file without a name: the kernel hands its pages to each socket instead of
    copying them. There is one in the process, of the frame that was published last."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._file = -1

    def send(self, sock: int, frame: Frame) -> int:
        """Send to a socket; how much it took. A frame's first viewer is served from this process's memory: many cameras
        have only one, and the file costs more than a copy."""
        if frame is not self._frame:
            self._forget(frame)
            return os.write(sock, frame.chunk)
        if self._file < 0:
            self._file = os.memfd_create("frame", os.MFD_CLOEXEC)
            os.write(self._file, frame.chunk)
        return os.sendfile(sock, self._file, 0, len(frame.chunk))

    def _forget(self, frame: Frame) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._frame, self._file = frame, -1


_current = _MemoryFile()


class SharedWriter:
    """Writes what viewers share to one connection."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self._transport = transport
        self._socket: int = transport.get_extra_info("socket").fileno()

    @staticmethod
    def is_possible(transport: asyncio.WriteTransport) -> bool:
        """Whether bytes that are written to the socket are what the client reads, and the kernel can do it."""
        has_socket = transport.get_extra_info("socket") is not None
        return sys.platform == "linux" and has_socket and transport.get_extra_info("sslcontext") is None

    def push_chunk(self, frame: Frame) -> bool:
        """Send a frame as a chunk of a body, unless something waits or the socket takes nothing now."""
        if not self._is_free():
            return False
        try:
            sent = _current.send(self._socket, frame)
        except OSError:  # full, or gone: the plain path finds out which
            return False
        if sent < len(frame.chunk):
            self._transport.write(memoryview(frame.chunk)[sent:])
        return True

    def write_chunk(self, frame: Frame) -> None:
        """Leave a frame to the server's transport, without a copy of its own. Who is gone needs none: the server says
        so to the response in its own time."""
        if not self._transport.is_closing():
            self._transport.write(frame.chunk)

    def push(self, pieces: Sequence[bytes | memoryview]) -> bool:
        """Send pieces as one, unless something waits or the socket takes nothing now."""
        if not self._is_free():
            return False
        try:
            sent = os.writev(self._socket, pieces)
        except OSError:
            return False
        for piece in pieces:
            if sent < len(piece):
                self._transport.write(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))
        return True

    def _is_free(self) -> bool:
        # A transport that closes may have given its socket's number to another connection.
        return not self._transport.is_closing() and self._transport.get_write_buffer_size() == 0
