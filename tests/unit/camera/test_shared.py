"""The fast path's writer on real sockets: the bytes of the plain path, no others, and one file at most."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.viewers.messages import Framer, header_of
from fluxprint_camera.viewers.shared import SharedWriter
from support.camera import frame
from support.transports import Transport

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux'")


@pytest.fixture
def transports() -> Iterator[list[Transport]]:
    made = [Transport() for _ in range(3)]
    yield made
    for transport in made:
        transport.near.close()
        transport.far.close()


def memory_files() -> int:
    return sum("memfd:frame" in str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink())


class TestChunks:
    def test_are_the_same_for_the_first_viewer_and_for_those_from_the_file(self, transports: list[Transport]) -> None:
        writers = [SharedWriter(transport) for transport in transports]
        for number in range(1, 4):
            newest = frame(number, size=20_000)
            assert all(writer.push_chunk(newest) for writer in writers)
            assert [transport.received() for transport in transports] == [newest.chunk] * 3
            assert [transport.kept for transport in transports] == [b""] * 3
        assert memory_files() == 1

    def test_a_camera_with_one_viewer_needs_no_file(self, transports: list[Transport]) -> None:
        writer = SharedWriter(transports[0])
        before: Frame | None = None
        for number in range(1, 4):
            before = frame(number)
            assert writer.push_chunk(before)
        assert before is not None
        assert memory_files() == 0

    def test_what_the_socket_does_not_take_is_left_to_the_server(self, transports: list[Transport]) -> None:
        for transport, others in ((transports[0], []), (transports[1], [transports[2]])):
            newest = frame(1, size=4_000_000)
            for other in others:  # from here on it comes from the file
                assert SharedWriter(other).push_chunk(newest)
            assert SharedWriter(transport).push_chunk(newest)
            assert transport.kept
            assert transport.received() + transport.kept == newest.chunk

    def test_nothing_goes_past_what_waits(self, transports: list[Transport]) -> None:
        transports[0].kept = b"waits"
        assert not SharedWriter(transports[0]).push_chunk(frame(1))
        assert transports[0].received() == b""

    def test_a_full_socket_takes_nothing(self, transports: list[Transport]) -> None:
        try:
            while True:
                os.write(transports[0].near.fileno(), bytes(65536))
        except BlockingIOError:
            pass
        assert not SharedWriter(transports[0]).push_chunk(frame(1))
        assert transports[0].kept == b""

    def test_nothing_is_written_to_a_connection_that_closes(self, transports: list[Transport]) -> None:
        transports[0].closing = True  # its socket's number may be another's
        writer = SharedWriter(transports[0])
        assert not writer.push_chunk(frame(1))
        assert not writer.push_message((b"pieces",))
        writer.write_chunk(frame(1))
        assert (transports[0].received(), transports[0].kept) == (b"", b"")

    def test_nobody_at_the_other_end_is_no_error(self, transports: list[Transport]) -> None:
        transports[0].far.close()
        assert not SharedWriter(transports[0]).push_chunk(frame(1))


class TestMessages:
    @pytest.mark.parametrize("size", [100, 60_000, 70_000, 4_000_000])
    def test_are_the_same_for_all_under_one_index_and_each_under_its_own(
        self, transports: list[Transport], size: int
    ) -> None:
        newest, framer = frame(1, size=size), Framer()
        expected = []
        for transport, index in zip(transports, (3, 3, 4), strict=True):
            pieces = framer.framed(newest, index)
            assert SharedWriter(transport).push_message(pieces)
            expected.append(b"".join(pieces))
            assert expected[-1].endswith(header_of(newest, index) + bytes(newest.jpeg))
        assert [transport.received() + transport.kept for transport in transports] == expected
