"""Acknowledgements are taken out of what a WebSocket reads, and nothing else, however it is cut into pieces."""

import asyncio
import random

import pytest

from fluxprint_camera.viewers.acks import AckShortcut, Take


def message(payload: bytes, *, opcode: int = 1) -> bytes:
    """A client's frame: final and masked (RFC 6455, 5.2)."""
    mask = b"\x11\x22\x33\x44"
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 2**16:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


ACK = message(b"ack 1")
OTHERS = [
    message(b"watch " + bytes(40)),
    message(b"watch " + bytes(300)),
    message(bytes(70_000), opcode=2),
    message(b"", opcode=9),
    message(b"no ack"),
]


class Server(asyncio.Protocol):
    """The server's side of the WebSocket."""

    def __init__(self) -> None:
        self.read = b""

    def data_received(self, data: bytes) -> None:
        self.read += data


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def taken() -> list[bytes]:
    return []


@pytest.fixture
def take(taken: list[bytes]) -> Take:
    def take(text: bytes) -> bool:
        if not text.startswith(b"ack"):
            return False
        taken.append(text)
        return True

    return take


@pytest.fixture
def shortcut(server: Server, take: Take) -> AckShortcut:
    return AckShortcut(server, take)


class TestShortcut:
    def test_takes_acknowledgements_that_come_whole(
        self, shortcut: AckShortcut, server: Server, taken: list[bytes]
    ) -> None:
        shortcut.data_received(ACK)
        shortcut.data_received(ACK + message(b"ack 2"))
        assert (taken, server.read) == ([b"ack 1", b"ack 1", b"ack 2"], b"")

    @pytest.mark.parametrize("other", OTHERS, ids=range(len(OTHERS)))
    def test_leaves_everything_else_to_the_server(
        self, shortcut: AckShortcut, server: Server, taken: list[bytes], other: bytes
    ) -> None:
        shortcut.data_received(other)
        shortcut.data_received(ACK)
        assert (server.read, taken) == (other, [b"ack 1"])

    def test_the_server_never_misses_a_part_of_a_frame(self, server: Server, take: Take, taken: list[bytes]) -> None:
        """However it is cut: what the server reads is a sequence of whole frames, and no acknowledgement is lost."""
        random_ = random.Random(5)
        for _ in range(200):
            server.read = b""
            taken.clear()
            shortcut = AckShortcut(server, take)
            frames = [random_.choice([ACK, *OTHERS]) for _ in range(12)]
            wire, at = b"".join(frames), 0
            while at < len(wire):
                step = random_.choice([1, 3, 10, len(ACK), 100, 80_000])
                shortcut.data_received(wire[at : at + step])
                at += step
            others = [frame for frame in frames if frame != ACK]
            rest = server.read
            for frame in others:
                while not rest.startswith(frame):
                    assert rest.startswith(ACK)
                    rest = rest[len(ACK) :]
                rest = rest[len(frame) :]
            assert rest.replace(ACK, b"") == b""
            heard = server.read.count(ACK) + len(taken)
            assert heard >= frames.count(ACK)

    @pytest.mark.parametrize("garbage", [b"\x81", b"\x81\x80", b"\x81\x05abcde", bytes(100), b"\xff" * 50])
    def test_garbage_is_the_servers(
        self, shortcut: AckShortcut, server: Server, taken: list[bytes], garbage: bytes
    ) -> None:
        shortcut.data_received(garbage)
        assert (server.read, taken) == (garbage, [])
