"""Acknowledgements are taken out of what a WebSocket reads, and nothing else, however it is cut into pieces."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest

from fluxprint_camera.viewers.acks import AckReader, AckShortcut, Take


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
        self.lost = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.read += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()


class Closed(asyncio.Transport):
    """A connection that is closing: nobody reads it in another way any more."""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self

    def fileno(self) -> int:
        return -1

    def is_closing(self) -> bool:
        return True


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
    return AckShortcut(server, take, Closed(), AckReader())


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
            shortcut = AckShortcut(server, take, Closed(), AckReader())
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


class Line:
    """A connection with a shortcut before its server, on real sockets."""

    def __init__(self, take: Take, reader: AckReader) -> None:
        self.server = Server()
        self._take = take
        self._reader = reader

    async def open(self) -> None:
        near, self.far = socket.socketpair()
        self.far.setblocking(False)
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.connect_accepted_socket(lambda: self.server, near)
        self.transport.set_protocol(AckShortcut(self.server, self._take, self.transport, self._reader))

    def close(self) -> None:
        self.far.close()
        self.transport.abort()


@pytest.fixture
async def reader() -> AsyncIterator[AckReader]:
    reader = AckReader()
    yield reader
    reader.close()


@pytest.fixture
async def lines(take: Take, reader: AckReader) -> AsyncIterator[list[Line]]:
    lines = [Line(take, reader) for _ in range(3)]
    for line in lines:
        await line.open()
    yield lines
    for line in lines:
        line.close()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.001)


def _are(taken: list[bytes], count: int) -> bool:
    return len(taken) == count


class TestReader:
    """Once acknowledgements come, the server reads only what is none."""

    async def test_reads_all_lines_and_gives_back_what_says_something_else(
        self, lines: list[Line], taken: list[bytes]
    ) -> None:
        for round_ in range(1, 6):  # more often than it wakes up
            for line in lines:
                line.far.send(ACK * 2)
            await until(partial(_are, taken, 6 * round_))
        assert not any(line.transport.is_reading() for line in lines)
        lines[0].far.send(ACK + OTHERS[0])
        await until(lambda: lines[0].server.read.endswith(OTHERS[0]))
        assert [line.transport.is_reading() for line in lines] == [True, False, False]
        lines[0].far.send(ACK)
        await until(lambda: not lines[0].transport.is_reading())
        assert [line.server.read for line in lines[1:]] == [b"", b""]

    async def test_a_server_that_reads_no_further_is_obeyed(self, lines: list[Line], taken: list[bytes]) -> None:
        line = lines[0]
        line.far.send(ACK)
        await until(lambda: not line.transport.is_reading())
        line.far.send(OTHERS[0])
        await until(lambda: bool(line.server.read))
        line.transport.pause_reading()  # as uvicorn does until the application has taken a message
        line.far.send(ACK)
        lines[1].far.send(ACK)  # has gone the same way
        await until(lambda: len(taken) == 2)
        await asyncio.sleep(0.02)
        assert len(taken) == 2
        line.transport.resume_reading()
        await until(lambda: len(taken) == 3)

    @pytest.mark.parametrize("ending", [b"", OTHERS[0]])
    async def test_the_end_is_the_servers(
        self, lines: list[Line], taken: list[bytes], take: Take, reader: AckReader, ending: bytes
    ) -> None:
        for line in lines:
            line.far.send(ACK)
        await until(lambda: len(taken) == 3)
        lines[0].far.send(ending)
        lines[0].far.close()
        lines[1].transport.abort()
        async with asyncio.timeout(30):
            await lines[0].server.lost.wait()
            await lines[1].server.lost.wait()
        assert (lines[0].server.read, len(reader)) == (ending, 1)
        others = [Line(take, reader) for _ in range(2)]  # their sockets have the numbers of those that are gone
        for line in others:
            await line.open()
            line.far.send(ACK)
        await until(lambda: len(taken) == 5 and not any(line.transport.is_reading() for line in others))
        for line in (*others, lines[2]):
            line.far.send(ACK)
        await until(lambda: len(taken) == 8)
        for line in others:
            line.close()

    async def test_what_fails_ends_one_line_alone(self, reader: AckReader, taken: list[bytes]) -> None:
        def take(text: bytes) -> bool:
            if text == b"ack 666":
                raise LookupError
            taken.append(text)
            return True

        failed: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failed.append(context["exception"]))
        lines = [Line(take, reader) for _ in range(3)]
        for line in lines:
            await line.open()
            line.far.send(ACK)
        await until(lambda: len(reader) == 3)
        for line, said in zip(lines, (b"ack 1", b"ack 666", b"ack 1"), strict=True):
            line.far.send(message(said))
        async with asyncio.timeout(30):
            await lines[1].server.lost.wait()
        await until(lambda: len(taken) == 5)
        assert [type(error) for error in failed] == [LookupError]
        assert len(reader) == 2
        for line in lines:
            line.close()
