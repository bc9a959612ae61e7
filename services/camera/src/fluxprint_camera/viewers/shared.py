"""The fast path of streams: a frame that all viewers share goes to their sockets past the server's own way of sending.

This reaches below ASGI: it writes to the socket of a response that has begun, while nothing of it waits in the server.
What the socket does not take at once goes through the server's transport, behind which the connection is the plain
path's again (docs/adr/0015-camera-fast-path.md).
"""

import asyncio
import os
import sys

from fluxprint_camera.relay.frame import Frame

Pieces = tuple[bytes | memoryview, ...]


class _MemoryFile:
    """What is being sent to many, in a file without a name: the kernel hands its pages to each socket instead of
    copying them. There is one for each kind of stream in the process, of the frame that was published last."""

    def __init__(self) -> None:
        #: Bytes of what was sent last.
        self.size = 0
        self._of: object = None
        self._file = -1

    def send(self, sock: int, what: object, pieces: Pieces) -> int:
        """Send pieces to a socket; how much it took. `what` tells whether they are the same as before.

        The first viewer is served from this process's memory: many cameras have only one, and the file costs more than
        a copy.
        """
        if what is not self._of:
            self._forget(what)
            self.size = sum(map(len, pieces))
            return os.writev(sock, pieces)
        if self._file < 0:
            self._file = os.memfd_create("frame", os.MFD_CLOEXEC)
            os.writev(self._file, pieces)
        return os.sendfile(sock, self._file, 0, self.size)

    def _forget(self, what: object) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._of, self._file = what, -1


_chunks, _messages = _MemoryFile(), _MemoryFile()


class SharedWriter:
    """Writes what viewers share to one connection."""

    __slots__ = ("_socket", "_transport")

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
        return self._push(_chunks, frame, (frame.chunk,))

    def push_message(self, pieces: Pieces) -> bool:
        """Send a message of a WebSocket likewise; for viewers that get the same, the same object."""
        return self._push(_messages, pieces, pieces)

    def write_chunk(self, frame: Frame) -> None:
        """Leave a frame to the server's transport, without a copy of its own. Who is gone needs none: the server says
        so to the response in its own time."""
        if not self._transport.is_closing():
            self._transport.write(frame.chunk)

    def _push(self, file: _MemoryFile, what: object, pieces: Pieces) -> bool:
        # A transport that closes may have given its socket's number to another connection.
        if self._transport.is_closing() or self._transport.get_write_buffer_size():
            return False
        try:
            sent = file.send(self._socket, what, pieces)
        except OSError:  # full, or gone: the plain path finds out which
            return False
        if sent < file.size:
            self._leave(pieces, sent)
        return True

    def _leave(self, pieces: Pieces, sent: int) -> None:
        """Leave what the socket did not take to the transport."""
        for piece in pieces:
            if sent < len(piece):
                self._transport.write(memoryview(piece)[sent:])
            sent = max(0, sent - len(piece))
