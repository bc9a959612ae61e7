"""A short way for acknowledgements: they come as often as frames go out, and the server's way through its WebSocket
costs three times the sending of a frame. Beside the fast path, and off with it."""

import asyncio
from collections.abc import Callable

Take = Callable[[bytes], bool]

# What a client's frame begins with that is final and text (RFC 6455, 5.2), how long one without a longer length can
# be, and the bit that says that it is masked.
_TEXT, _SMALL, _MASKED = 0x81, 126, 0x80
_MASK = 4


class AckShortcut(asyncio.Protocol):
    """Stands before the server's side of a WebSocket and hands it everything but acknowledgements.

    What is read at once is taken only where it is nothing else, in whole frames; so the server's reader never misses
    a part of one.

    Args:
        take: takes a text message if it is an acknowledgement, else says no.
    """

    def __init__(self, server: asyncio.Protocol, take: Take) -> None:
        self._server = server
        self._take = take
        #: Of the frame that the server is in the middle of: its head as far as it came, and bytes that are to come.
        self._head = b""
        self._left = 0

    def data_received(self, data: bytes) -> None:
        if not self._left and not self._head and self._are_acks(data):
            return
        self._follow(data)
        self._server.data_received(data)

    def eof_received(self) -> bool | None:
        return self._server.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connection_lost(exc)

    def pause_writing(self) -> None:
        self._server.pause_writing()

    def resume_writing(self) -> None:
        self._server.resume_writing()

    def _are_acks(self, data: bytes) -> bool:
        """Whether all of it was taken. (An acknowledgement that is heard again, from the server, says nothing new.)"""
        at, end = 0, len(data)
        while at < end:
            payload_at = at + 2 + _MASK
            if payload_at > end or data[at] != _TEXT:
                return False
            size = data[at + 1] - _MASKED
            if not 0 < size < _SMALL or payload_at + size > end:
                return False
            if not self._take(_unmasked(data[payload_at : payload_at + size], data[at + 2 : payload_at])):
                return False
            at = payload_at + size
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


def _unmasked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // _MASK + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)
