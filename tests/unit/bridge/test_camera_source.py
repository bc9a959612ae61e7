"""Cameras as they are: what they call a stream, and how they fail."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import httpx
import pytest

from fluxprint_bridge.camera import lane, source
from fluxprint_bridge.camera.config import Address, CameraConfig
from fluxprint_bridge.camera.faults import Reason, SourceFailed
from fluxprint_bridge.camera.lane import Lane, Limits
from fluxprint_bridge.camera.source import CameraSource
from fluxprint_common.background import backoff_s
from fluxprint_local.jpeg import frame_number, numbered_picture
from fluxprint_local.ports import free_port

JPEG = numbered_picture(1)
MULTIPART = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def part(number: int) -> bytes:
    picture = numbered_picture(number)
    return f"--b\r\nContent-Length: {len(picture)}\r\n\r\n".encode() + picture + b"\r\n"


@asynccontextmanager
async def camera(*answers: bytes, pause_s: float = 0, hangs: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives one answer after the other, the last again and again; its address, and what it was asked.

    Args:
        pause_s: between the bytes of a body.
        hangs: keeps the connection open afterwards.
    """
    asked: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        given = answers[min(len(asked), len(answers)) - 1]
        head, end, body = given.partition(b"\r\n\r\n")
        writer.write(head + end)
        if pause_s:
            for byte in body:
                writer.write(bytes([byte]))
                if not writer.is_closing():
                    await asyncio.sleep(pause_s)
        else:
            writer.write(body)
        if hangs:
            await ended.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        ended.set()
        server.close()


def config_of(stream: str | None, snapshot: str | None = None) -> CameraConfig:
    return CameraConfig(
        key="default",
        name="Camera",
        stream=Address.of(stream, base="http://octoprint") if stream else None,
        snapshot=Address.of(snapshot, base="http://octoprint") if snapshot else None,
    )


@asynccontextmanager
async def opened(stream: str | None, snapshot: str | None = None) -> AsyncIterator[CameraSource]:
    camera = CameraSource(config_of(stream, snapshot))
    try:
        yield camera
    finally:
        await camera.close()


async def picture(url: str) -> bytes:
    async with opened(url) as camera:
        return (await camera.picture()).jpeg


async def numbers(camera: CameraSource, count: int) -> list[int | None]:
    """The numbers of the next pictures."""
    async with aclosing(camera.pictures()) as pictures:
        return [frame_number((await anext(pictures)).jpeg) for _ in range(count)]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience for half a second."""
    monkeypatch.setattr(source, "FROZEN_AFTER_S", 0.5)


FAULTS: dict[str, tuple[bytes, bool, Reason]] = {
    "sends nothing": (b"", True, Reason.FROZEN),
    "sends a head and nothing": (MULTIPART, True, Reason.FROZEN),
    "stops in a picture": (MULTIPART + part(1)[:300], True, Reason.FROZEN),
    "closes before a picture": (MULTIPART, False, Reason.CLOSED),
    "closes in a picture": (MULTIPART + part(1)[:300], False, Reason.TRUNCATED),
    "has pictures without an end": (
        MULTIPART + b"--b\r\nContent-Length: 100\r\n\r\n" + JPEG[:100],
        True,
        Reason.TRUNCATED,
    ),
    "gives half a picture": (answer(JPEG)[:-20], False, Reason.TRUNCATED),
    "gives a page": (answer(b"<html>", "Content-Type: text/html"), False, Reason.NOT_A_CAMERA),
    "streams something else": (MULTIPART + b"--b\r\nContent-Length: 4\r\n\r\nGIF8\r\n", True, Reason.NOT_A_CAMERA),
    "is no HTTP": (b"220 mail.example.org ESMTP\r\n\r\n", False, Reason.CLOSED),
    "wants a password": (answer(b"", status="401 Unauthorized"), False, Reason.REFUSED),
    "has too many viewers": (answer(b"", status="503 Busy"), False, Reason.REFUSED),
    "announces a giant": (MULTIPART + b"--b\r\nContent-Length: 99999999\r\n\r\n", True, Reason.TOO_LARGE),
}


class TestFaults:
    @pytest.mark.parametrize("what", FAULTS)
    async def test_have_a_name(self, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
        given, hangs, reason = FAULTS[what]
        if reason is Reason.FROZEN:  # every other one is noticed as it comes
            monkeypatch.setattr(source, "FROZEN_AFTER_S", 0.5)
        async with camera(given, hangs=hangs) as (url, _), opened(url) as broken:
            async with asyncio.timeout(30):
                with pytest.raises(SourceFailed) as failed:
                    await numbers(broken, 3)
        assert failed.value.reason is reason
        assert url.partition("//")[2] not in str(failed.value)

    async def test_nobody_answers(self) -> None:
        async with opened(f"http://127.0.0.1:{free_port()}") as broken:
            with pytest.raises(SourceFailed) as failed:
                await broken.picture()
        assert failed.value.reason is Reason.UNREACHABLE

    @pytest.mark.parametrize("url", ["http://256.256.256.256/", "http://xn--/", "http://127.0.0.1:1/a\x7fb"])
    async def test_an_address_is_none(self, url: str) -> None:
        with pytest.raises(SourceFailed, match="is none"):
            await picture(url)

    async def test_a_picture_that_drips_is_given_up(self, hasty: None) -> None:
        async with camera(answer(JPEG), pause_s=0.01) as (url, _):
            with pytest.raises(SourceFailed, match="no whole picture"):
                await picture(url)

    async def test_one_broken_picture_among_others_is_skipped(self, hasty: None) -> None:
        broken = b"--b\r\nContent-Length: 5\r\n\r\nnoise\r\n"
        async with camera(MULTIPART + part(1), MULTIPART + broken + part(2)) as (url, _), opened(url) as camera_:
            assert await numbers(camera_, 1) == [1]
            assert await numbers(camera_, 1) == [2]


class TestFallBack:
    async def test_single_pictures_stand_in_for_a_stream(self, hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(source, "SNAPSHOT_EVERY_S", 0.01)
        async with (
            camera(MULTIPART, MULTIPART + part(7), hangs=True) as (stream, asked),
            camera(answer(JPEG)) as (snapshot, _),
            opened(stream, snapshot) as both,
        ):
            async with aclosing(both.pictures()) as pictures, asyncio.timeout(30):
                assert frame_number((await anext(pictures)).jpeg) == 1
                assert len(asked) == 1
                assert "frozen" in str(both.remark)
                while frame_number((await anext(pictures)).jpeg) == 1:
                    pass  # until the stream is tried again, and works
            assert both.remark is None

    async def test_the_usual_place_is_tried(self, hasty: None) -> None:
        async with (
            camera(answer(b"", status="404 No"), answer(JPEG)) as (url, asked),
            opened(url + "/webcam/?action=stream") as camera_,
        ):
            assert await numbers(camera_, 1) == [1]
        assert [line.split()[1] for line in asked] == [b"/webcam/?action=stream", b"/webcam/?action=snapshot"]

    async def test_the_streams_fault_is_named_where_neither_works(self, hasty: None) -> None:
        async with (
            camera(MULTIPART) as (stream, _),
            camera(answer(b"", status="500 No")) as (snapshot, _),
            opened(stream, snapshot) as neither,
        ):
            with pytest.raises(SourceFailed) as failed:
                await numbers(neither, 1)
        assert failed.value.reason is Reason.CLOSED

    async def test_a_snapshot_serves_who_wants_one(self) -> None:
        async with (
            camera(MULTIPART) as (stream, asked),
            camera(answer(JPEG)) as (snapshot, _),
            opened(stream, snapshot) as both,
        ):
            assert (await both.picture()).jpeg == JPEG
        assert asked == []

    @pytest.mark.parametrize(
        ("fps", "streamed", "snapshots"),
        [
            (10.0, MULTIPART + part(1), [b""]),  # the stream stops, and what would stand in for it hangs
            (10.0, MULTIPART, [answer(JPEG), b""]),  # what stands in for it stops
            (0.0, MULTIPART, [b""]),
        ],
        ids=["stream", "stand-in", "idle"],
    )
    async def test_a_failure_is_told_within_5_s_where_the_other_address_hangs_too(
        self, fps: float, streamed: bytes, snapshots: list[bytes]
    ) -> None:
        """With the patience that it really has."""
        clock = asyncio.get_running_loop().time
        async with (
            camera(streamed, MULTIPART, hangs=True) as (stream, _),
            camera(*snapshots, hangs=True) as (snapshot, _),
            opened(stream, snapshot) as neither,
        ):
            told = asyncio.Event()
            of_both = Lane(0, "camera", neither, Limits(2**21, 4000), told.set)
            of_both.want(fps, idle_interval_s=60)
            reading = asyncio.create_task(of_both.read())
            try:
                good_at = clock()
                async with asyncio.timeout(30):
                    while of_both.state is None or of_both.state.ok:
                        told.clear()
                        await told.wait()
                        if of_both.due_at() is not None:
                            of_both.take(good_at := clock())
                assert of_both.state.reason is Reason.FROZEN
                assert clock() - good_at < 5
            finally:
                reading.cancel()


class TestTriedAgain:
    """One that fails is asked more and more rarely, and soon again after it worked."""

    @pytest.mark.parametrize("fps", [10.0, 0.0], ids=["watched", "idle"])
    async def test_after_growing_pauses_until_it_works(self, monkeypatch: pytest.MonkeyPatch, fps: float) -> None:
        clock, asked_at, pauses = asyncio.get_running_loop().time, list[float](), list[float]()

        def pause(failures: int, *, cap_s: float) -> float:
            assert backoff_s(failures, cap_s=cap_s) <= cap_s == lane.MAX_BACKOFF_S
            pauses.append(0.05 * 2 ** (failures - 1))  # without the jitter
            return pauses[-1]

        monkeypatch.setattr(lane, "backoff_s", pause)
        busy, works = answer(b"", status="503 Busy"), answer(JPEG)
        async with camera(busy, busy, busy, busy, works, busy, busy) as (url, asked), opened(url) as source_:
            ask = source_._answer

            def noticed(address: Address, deadline: float) -> AbstractAsyncContextManager[httpx.Response]:
                asked_at.append(clock())
                return ask(address, deadline)

            monkeypatch.setattr(source_, "_answer", noticed)
            told = asyncio.Event()
            reading_lane = Lane(0, "camera", source_, Limits(2**21, 4000), told.set)
            reading_lane.want(fps, idle_interval_s=1)
            reading = asyncio.create_task(reading_lane.read())
            try:
                async with asyncio.timeout(30):
                    while len(pauses) < 6:
                        await asyncio.sleep(0.01)
            finally:
                reading.cancel()
        assert len(asked) >= 7
        assert pauses[:6] == [0.05, 0.1, 0.2, 0.4, 0.05, 0.1]
        gaps = [after - before for before, after in itertools.pairwise(asked_at[:5])]
        assert all(gap >= pause for gap, pause in zip(gaps, pauses[:4], strict=True))

    async def test_at_once_when_somebody_begins_to_watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lane, "backoff_s", lambda _failures, *, cap_s: 3600)
        async with camera(answer(b"", status="503 Busy"), answer(JPEG)) as (url, _), opened(url) as source_:
            told = asyncio.Event()
            reading_lane = Lane(0, "camera", source_, Limits(2**21, 4000), told.set)
            reading_lane.want(0, idle_interval_s=3600)
            reading = asyncio.create_task(reading_lane.read())
            try:
                async with asyncio.timeout(30):
                    await told.wait()
                    reading_lane.want(10, idle_interval_s=3600)
                    while reading_lane.due_at() is None:
                        await asyncio.sleep(0.01)
            finally:
                reading.cancel()


class TestPassword:
    @pytest.mark.parametrize("where", ["in the address", "apart"])
    async def test_is_sent_and_not_shown(self, where: str) -> None:
        async with camera(answer(JPEG)) as (url, asked):
            if where == "apart":
                address = Address.of(url, base="http://octoprint", user="me", password="p@ss")
            else:
                address = Address.of(url.replace("//", "//me:p%40ss@"), base="http://octoprint")
            camera_ = CameraSource(CameraConfig("default", "Camera", address))
            try:
                await camera_.picture()
            finally:
                await camera_.close()
        assert b"authorization: basic bwu6cebzcw==" in asked[0].lower()
        assert "p@ss" not in repr(address)


class TestRedirects:
    async def test_to_itself_are_followed(self) -> None:
        async with camera(answer(b"", "Location: /now.jpg", status="302 Found"), answer(JPEG)) as (url, asked):
            assert await picture(url + "/snapshot") == JPEG
        assert asked[1].startswith(b"GET /now.jpg ")

    async def test_to_others_are_not(self) -> None:
        async with camera(answer(JPEG)) as (other, strays):
            moved = answer(b"", f"Location: {other}/admin?reboot=1", status="302 Found")
            async with camera(moved) as (url, _):
                with pytest.raises(SourceFailed, match="CAMERA_URL"):
                    await picture(url)
        assert strays == []

    async def test_to_nowhere_are_a_fault(self) -> None:
        for nowhere in ("http://256.1.1.1/", "http://xn--a/"):
            async with camera(answer(b"", f"Location: {nowhere}", status="302 Found")) as (url, _):
                with pytest.raises(SourceFailed):
                    await picture(url)

    async def test_in_circles_end(self) -> None:
        async with camera(*9 * [answer(b"", "Location: /again", status="307 Again")]) as (url, asked):
            with pytest.raises(SourceFailed, match="in circles"):
                await picture(url)
        assert len(asked) == 4


class TestBounds:
    async def test_nothing_is_unpacked_and_no_cookie_kept(self) -> None:
        cookie = answer(b"", "Set-Cookie: a=b; Path=/", "Location: /now.jpg", status="302 Found")
        async with camera(cookie, answer(JPEG, "Content-Encoding: gzip")) as (url, asked):
            assert await picture(url) == JPEG  # as it came
        assert b"cookie" not in asked[1].lower()
        assert b"accept-encoding: identity" in asked[0].lower()
