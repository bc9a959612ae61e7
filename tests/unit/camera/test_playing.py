"""A stream of the fast path after its answer has begun: the newest when it takes something, an end that is one, and
nothing that stays."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from fluxprint_camera.relay.channel import Publication
from fluxprint_camera.relay.frame import LAST_CHUNKS
from fluxprint_camera.relay.viewer import Left, Viewer
from fluxprint_camera.viewers.pictures import Pictures
from fluxprint_camera.viewers.playing import Playing
from support.camera import Connection, frame
from support.relay import Relay
from support.transports import Transport

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fast path is Linux'")


class Stream:
    """A viewer of a relay's camera whose answer has begun."""

    def __init__(self, relay: Relay, publication: Publication, pictures: Pictures) -> None:
        self.publication = publication
        self.transport = Transport()
        self.is_let_go = False
        with ExitStack() as held:
            self.viewer: Viewer = held.enter_context(relay.watching(connection=Connection()))
            held.callback(self._let_go)
            self.playing = Playing(self.transport, self.viewer, pictures, held)

    def _let_go(self) -> None:
        self.is_let_go = True

    def shown(self) -> bytes:
        """What went to the client or is on its way, since it was last asked."""
        shown = self.transport.received() + self.transport.kept
        self.transport.kept = b""
        return shown

    def take(self) -> bytes:
        """The connection takes what waits, and says so."""
        shown = self.shown()
        self.playing.resume_writing()
        return shown


async def a_moment() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
def relay() -> Relay:
    return Relay(idle_interval_s=300)


@pytest.fixture
def pictures() -> Iterator[Pictures]:
    pictures = Pictures()
    yield pictures
    pictures.close()


@pytest.fixture
async def stream(relay: Relay, pictures: Pictures) -> AsyncIterator[Stream]:
    """One that has seen the first picture."""
    with relay.publishing() as publication:
        publication.publish(frame(1))
        stream = Stream(relay, publication, pictures)
        await a_moment()
        assert stream.take() == frame(1).chunk
        yield stream
        stream.playing.connection_lost(None)
    stream.transport.near.close()
    stream.transport.far.close()


class TestPlaying:
    async def test_goes_on_from_the_publisher(self, stream: Stream) -> None:
        for number in (2, 3):
            stream.publication.publish(frame(number))
            assert stream.shown() == frame(number).chunk  # at once: nobody was woken for it
        assert (stream.viewer.sent, stream.viewer.dropped) == (3, 0)

    async def test_shows_the_newest_when_the_connection_takes_something_again(self, stream: Stream) -> None:
        stream.transport.kept = b"waits"
        for number in (2, 3, 4):
            stream.publication.publish(frame(number))
            await a_moment()
        assert stream.take() == b"waits"
        assert stream.take() == frame(4).chunk
        assert (stream.viewer.sent, stream.viewer.dropped) == (2, 2)

    async def test_shows_why_there_is_no_picture_and_nothing_past_that(
        self, stream: Stream, pictures: Pictures
    ) -> None:
        stream.publication.report("frozen")
        await asyncio.sleep(0)  # it is being made
        for number in (2, 3):
            stream.publication.publish(frame(number))
        async with asyncio.timeout(10):
            while not stream.transport.kept:
                await asyncio.sleep(0.01)
        assert stream.take() == (await pictures.placard("frozen")).chunk
        assert stream.take() == frame(3).chunk

    async def test_ends_with_the_closing_delimiter(self, stream: Stream) -> None:
        stream.viewer.leave(Left.EXPIRED)
        await a_moment()
        assert (stream.shown(), stream.transport.closing) == (LAST_CHUNKS, True)

    async def test_ends_when_what_is_on_its_way_was_taken(self, stream: Stream) -> None:
        stream.transport.kept = b"waits"
        stream.viewer.leave(Left.EXPIRED)
        await a_moment()
        assert not stream.transport.closing
        assert stream.take() == b"waits"
        assert (stream.shown(), stream.transport.closing) == (LAST_CHUNKS, True)

    async def test_is_cut_at_once_by_a_revocation_where_something_waits(self, stream: Stream) -> None:
        stream.transport.kept = b"waits"
        stream.viewer.revoke()
        await a_moment()
        assert (stream.shown(), stream.transport.closing) == (b"", True)

    async def test_keeps_no_place_where_it_cannot_begin(
        self, relay: Relay, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Failing:
            def __init__(self, _transport: object) -> None:
                raise OSError("no room")

        monkeypatch.setattr("fluxprint_camera.viewers.playing.SharedWriter", Failing)
        transport, held, let_go = Transport(), ExitStack(), []
        with relay.watching(connection=Connection()) as viewer:
            held.callback(lambda: let_go.append(1))
            with held, pytest.raises(OSError, match="no room"):
                Playing(transport, viewer, pictures, held)
        assert let_go == [1]
        transport.near.close()
        transport.far.close()

    async def test_gives_its_place_back_with_the_connection(self, relay: Relay, stream: Stream) -> None:
        assert relay.hub.viewers_here(relay.camera) == 1
        stream.transport.closing = True
        stream.playing.connection_lost(None)
        await a_moment()
        assert (relay.hub.viewers_here(relay.camera), stream.is_let_go) == (0, True)
        assert stream.shown() == b""

    async def test_does_not_listen(self, stream: Stream) -> None:
        stream.playing.data_received(b"GET / HTTP/1.1\r\n\r\n")
        await a_moment()
        assert (stream.shown(), stream.viewer.left) == (b"", None)


async def test_who_talks_without_end_is_cut(stream: Stream) -> None:
    for _ in range(65):
        assert not stream.transport.is_closing()
        stream.playing.data_received(bytes(1024))
    assert stream.transport.is_closing()
