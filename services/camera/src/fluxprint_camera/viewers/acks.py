"""A short way for acknowledgements: they come as often as frames go out, and the server's way through its WebSocket
costs three times the sending of a frame. Beside the fast path, and off with it."""

import asyncio
import os
import select
from collections.abc import Callable
from contextlib import suppress

Take = Callable[[bytes], bool]

# What a client's frame begins with that is final and text (RFC 6455, 5.2), how long one without a longer length can
# be, and the bit that says that it is masked.
_TEXT, _SMALL, _MASKED = 0x81, 126, 0x80
_MASK = 4

#: Seconds for which acknowledgements gather when they come one after the other: waking up for each costs more than
#: reading it, and a viewer's next frame is 16 ms away at least.
GATHER_S = 0.005
_READ_BYTES = 4096


class AckReader:
    """Reads the connections on which only acknowledgements come, all of them at once.

    A connection's server does not read while this does, and is given it back with the first thing that is not an
    acknowledgement, so that all flow control stays with it.
    """

    def __init__(self) -> None:
        self._epoll: select.epoll | None = None
        self._shortcuts: dict[int, AckShortcut] = {}
        self._woken_at = 0.0

    def __len__(self) -> int:
        return len(self._shortcuts)

    def adopt(self, sock: int, shortcut: "AckShortcut") -> None:
        """Read a socket from now on."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._listen()
        self._epoll.register(sock, select.EPOLLIN)
        self._shortcuts[sock] = shortcut

    def release(self, sock: int) -> None:
        """Read a socket no longer. It must be open still: its number may be another's later."""
        del self._shortcuts[sock]
        if self._epoll is not None:
            with suppress(OSError):
                self._epoll.unregister(sock)

    def close(self) -> None:
        """Read nothing any more."""
        if self._epoll is not None:
            asyncio.get_running_loop().remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _listen(self) -> None:
        if self._epoll is not None:
            asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._read, self._epoll)

    def _read(self, epoll: select.epoll) -> None:
        loop = asyncio.get_running_loop()
        # Reading them all takes less with nothing between, and so does the rest.
        for sock, data in [(sock, _received(sock)) for sock, _ in epoll.poll(0)]:
            if (shortcut := self._shortcuts.get(sock)) is None:
                continue
            try:
                shortcut.read(data)
            except Exception as error:  # ends one connection, as it does where the server reads
                shortcut.cut()
                loop.call_exception_handler({"message": "reading a WebSocket failed", "exception": error})
        now = loop.time()
        if now - self._woken_at < GATHER_S:
            loop.remove_reader(epoll.fileno())
            loop.call_later(GATHER_S, self._listen)
        self._woken_at = now


class AckShortcut(asyncio.Protocol):
    """Stands before the server's side of a WebSocket and hands it everything but acknowledgements.

    What is read at once is taken only where it is nothing else, in whole frames; so the server's reader never misses
    a part of one.

    Args:
        take: takes a text message if it is an acknowledgement, else says no.
        reader: reads the connection while nothing but acknowledgements comes.
    """

    __slots__ = ("_head", "_is_adopted", "_left", "_reader", "_server", "_socket", "_take", "_transport")

    def __init__(self, server: asyncio.Protocol, take: Take, transport: asyncio.Transport, reader: AckReader) -> None:
        self._server = server
        self._take = take
        self._transport = transport
        self._reader = reader
        self._socket: int = transport.get_extra_info("socket").fileno()
        self._is_adopted = False
        #: Of the frame that the server is in the middle of: its head as far as it came, and bytes that are to come.
        self._head = b""
        self._left = 0

    def data_received(self, data: bytes) -> None:
        if not self._left and not self._head and self._are_acks(data):
            self._adopt()
        else:
            self._pass_on(data)

    def read(self, data: bytes) -> None:
        """What has come while the server does not read; nothing when the connection ends."""
        if not data or not self._are_acks(data):
            self._give_back()
            if data:
                self._pass_on(data)

    def cut(self) -> None:
        """Drop the connection."""
        self._transport.abort()

    def eof_received(self) -> bool | None:
        return self._server.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_adopted:
            self._is_adopted = False
            self._reader.release(self._socket)
        self._server.connection_lost(exc)

    def pause_writing(self) -> None:
        self._server.pause_writing()

    def resume_writing(self) -> None:
        self._server.resume_writing()

    def _adopt(self) -> None:
        if not self._is_adopted and not self._transport.is_closing():
            self._is_adopted = True
            self._transport.pause_reading()
            self._reader.adopt(self._socket, self)

    def _give_back(self) -> None:
        self._is_adopted = False
        self._reader.release(self._socket)
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _pass_on(self, data: bytes) -> None:
        self._follow(data)
        self._server.data_received(data)

    def _are_acks(self, data: bytes) -> bool:
        """Whether all of it was taken. (An acknowledgement that is heard again, from the server, says nothing new.)"""
        at, end = 0, len(data)
        while at < end:
            if at + 2 + _MASK > end or data[at] != _TEXT:
                return False
            size = data[at + 1] - _MASKED
            after = at + 2 + _MASK + size
            if not 0 < size < _SMALL or after > end or not self._take(_unmasked(data[at + 2 : after], size)):
                return False
            at = after
        return True

    def _follow(self, data: bytes) -> None:
        """Know where the server is in the frames that it reads."""
        at, end = 0, len(data)
        while at < end:
            if self._left:
                step = min(self._left, end - at)
                self._left -= step
                at += step
                continue
            self._head += data[at : at + 1]
            at += 1
            if len(self._head) < 2:
                continue
            code = self._head[1] & 0x7F
            length_bytes = {126: 2, 127: 8}.get(code, 0)
            if len(self._head) == 2 + length_bytes + (_MASK if self._head[1] & _MASKED else 0):
                self._left = int.from_bytes(self._head[2 : 2 + length_bytes]) if length_bytes else code
                self._head = b""


def _received(sock: int) -> bytes:
    try:
        return os.read(sock, _READ_BYTES)
    except OSError:  # the server finds it out by itself
        return b""


def _unmasked(masked: bytes, size: int) -> bytes:
    """The payload of so many bytes behind a mask (RFC 6455, 5.3), as one number that is far quicker than its bytes."""
    key = (masked[:_MASK] * (size // _MASK + 2))[: _MASK + size]
    return (int.from_bytes(masked) ^ int.from_bytes(key)).to_bytes(size)  # the mask itself becomes zeros in front
