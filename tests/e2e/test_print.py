"""A file goes from the API through real Traefik to a real OctoPrint, on good days and on bad ones."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fluxprint_local.camera_source import CameraSource
from support import browser
from support.bridge import BridgeProcess
from support.octoprint import copies_of, slow_gcode
from support.queue import Json, eventually
from support.system import Workshop

pytestmark = pytest.mark.e2e

BRACKET = (Path(__file__).parents[1] / "fixtures" / "bracket.gcode").read_bytes()


@asynccontextmanager
async def working_bridge(
    workshop: Workshop, *, cameras: Mapping[str, str] | None = None, **settings: str
) -> AsyncIterator[BridgeProcess]:
    """A bridge that has shown its printer online, and is ended in any case."""
    bridge = workshop.bridge(cameras=cameras, **settings)
    await bridge.start()
    try:
        await workshop.printer_is("online")
        yield bridge
    finally:
        await bridge.kill()


@dataclass(frozen=True)
class Watched:
    """Cameras that play, what opens them, and where."""

    url: str
    token: str
    cameras: list[str]


@pytest.fixture
async def watched(workshop: Workshop) -> AsyncIterator[Watched]:
    """Four cameras of one printer."""
    async with AsyncExitStack() as stack:
        sources = [await stack.enter_async_context(browser.ReadableCamera(n)) for n in range(TestBrowser.COUNT)]
        cameras = {f"camera-{n}": source.url for n, source in enumerate(sources)}
        await stack.enter_async_context(working_bridge(workshop, cameras=cameras))

        async def online() -> list[str] | None:
            items = (await workshop.send("GET", "/cameras"))["items"]
            found = {item["key"]: item["id"] for item in items if item["status"] == "online"}
            return [found[key] for key in cameras] if len(found) == len(cameras) else None

        ids = await eventually(online, within_s=60)
        token = (await workshop.send("POST", "/cameras/view-tokens", json={"camera_ids": ids}))["token"]
        yield Watched(f"{workshop.system.url}/api/v1", token, ids)


async def _seen(folder: Path, plan: Json) -> list[list[tuple[int, int]]]:
    """Camera and number of each picture that a page saw, by its place."""
    async with browser.page(folder, plan) as seen:
        return list((await browser.next_of(seen))["seen"])


class TestGoodDay:
    async def test_a_sliced_file_is_printed_exactly_once_and_seen(self, workshop: Workshop) -> None:
        async with CameraSource() as camera, working_bridge(workshop, CAMERA_URL=camera.url):
            job = await workshop.job(BRACKET)
            attempt = await workshop.attempt_is(job, "printing")
            frames = await _frames(workshop, 5)
            assert len(set(frames)) == 5
            telemetry = (await workshop.send("GET", f"/printers/{workshop.printer}"))["telemetry"]
            assert telemetry["attempt_id"] == attempt["id"]
            assert telemetry["temperatures"]["tool0"]["actual"] > 20
            done = await workshop.job_is(job, "completed", "failed", "unknown")
            assert (done["state"], done["copies_completed"]) == ("completed", 1)
            assert await workshop.history(attempt) == (1, 0)
            assert workshop.starts(attempt) == 1
            await _is_recorded(workshop, attempt)

    async def test_copies_wait_for_the_bed_each_time(self, workshop: Workshop) -> None:
        async with working_bridge(workshop):
            job = await workshop.job(slow_gcode(0.5), copies=2)
            first = await workshop.attempt_is(job, "completed")
            assert (await workshop.send("GET", f"/jobs/{job}"))["state"] == "queued"
            assert len((await workshop.send("GET", f"/jobs/{job}/attempts"))["items"]) == 1
            await workshop.clear_bed(first)
            assert (await workshop.job_is(job, "completed"))["copies_completed"] == 2
            second = await workshop.attempt_is(job, "completed")
            assert [workshop.starts(attempt) for attempt in (first, second)] == [1, 1]

    async def test_the_next_file_is_there_before_the_bed_is_clear(self, workshop: Workshop) -> None:
        async with working_bridge(workshop, BRIDGE_STAGE_AFTER_S="0"):
            first = await workshop.job(slow_gcode(40))
            printing = await workshop.attempt_is(first, "printing")
            content = slow_gcode(0.5)
            second = await workshop.job(content)

            async def staged() -> list[str]:
                return await copies_of(workshop.octoprint, content)

            [path] = await eventually(staged, within_s=60)
            assert await workshop.octoprint.state() == "Printing"
            assert (await workshop.send("GET", f"/jobs/{second}"))["state"] == "queued"
            await workshop.send("POST", f"/jobs/{first}/cancel")
            await workshop.job_is(first, "cancelled")
            await workshop.clear_bed(printing)
            await workshop.job_is(second, "completed")
            attempt = await workshop.attempt_is(second, "completed")
            assert attempt["id"] in path
            assert await copies_of(workshop.octoprint, content) == [path]
            assert (workshop.octoprint.starts(path), await workshop.history(attempt)) == (1, (1, 0))

    async def test_pause_resume_and_cancel_reach_the_printer(self, workshop: Workshop) -> None:
        async with working_bridge(workshop):
            job = await workshop.job(slow_gcode(40))
            attempt = await workshop.attempt_is(job, "printing")
            await workshop.send("POST", f"/jobs/{job}/pause")
            await workshop.attempt_is(job, "paused")
            assert await workshop.octoprint.state() == "Paused"
            await workshop.send("POST", f"/jobs/{job}/resume")
            await workshop.attempt_is(job, "printing")
            await workshop.send("POST", f"/jobs/{job}/cancel")
            await workshop.job_is(job, "cancelled")
            assert await workshop.history(attempt) == (0, 1)

    async def test_events_travel_unbuffered_and_resume(self, workshop: Workshop) -> None:
        async with asyncio.timeout(20), workshop.http.stream("GET", "/events/stream") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            job = await workshop.job(slow_gcode(0.5))
            async for line in lines:
                if line.startswith("id: "):
                    seen = line.removeprefix("id: ")
                if line.startswith("data: ") and json.loads(line.removeprefix("data: "))["subject"] == job:
                    break
        await workshop.send("POST", f"/jobs/{job}/cancel")
        headers = {"Last-Event-ID": seen}
        async with asyncio.timeout(20), workshop.http.stream("GET", "/events/stream", headers=headers) as stream:
            kinds = [line async for line in _until(stream, "event: ")]
            assert kinds == ["event: job.cancelled"]


@browser.needs_chromium
class TestBrowser:
    """In a real one, on a page of another origin: pictures come from real sources through bridge, relay and Traefik."""

    COUNT = 4
    PICTURES = 8  # of each camera, all different

    async def test_an_img_plays_and_so_do_four_and_four_over_one_websocket(
        self, watched: Watched, tmp_path: Path
    ) -> None:
        query = f"?token={watched.token}"
        streams = [f"{watched.url}/cameras/{camera}/stream{query}" for camera in watched.cameras]
        for shown in ([0], [3, 1, 0, 2]):
            plan = {"streams": [streams[camera] for camera in shown], "pictures": self.PICTURES}
            self._played(await _seen(tmp_path / f"img-{len(shown)}", plan), shown)
        shown = [2, 0, 3, 1]
        url = f"{watched.url.replace('http', 'ws', 1)}/cameras/watch{query}"
        socket = {"url": url, "cameras": [watched.cameras[camera] for camera in shown]}
        self._played(await _seen(tmp_path / "socket", {"socket": socket, "pictures": self.PICTURES}), shown)

    def _played(self, seen: list[list[tuple[int, int]]], shown: list[int]) -> None:
        """Each place shows its own camera, and newer pictures only."""
        for pictures, camera in zip(seen, shown, strict=True):
            assert {of for of, _number in pictures} == {camera}
            numbers = [number for _of, number in pictures]
            assert len(numbers) >= self.PICTURES
            assert numbers == sorted(set(numbers))


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "content", "status", "code"),
        [
            ("big.gcode", BRACKET + b"; padding\n" * 6_000_000, 413, "payload_too_large"),
            ("part.stl", BRACKET, 422, "file_name_invalid"),
            ("empty.gcode", b"", 422, "file_empty"),
            ("renamed.gcode", b"\x7fELF" + bytes(5000), 422, "not_gcode"),
            ("cut.gcode", BRACKET[:20_000], 422, "gcode_truncated"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_a_bad_file_gets_its_reason_through_traefik(
        self, workshop: Workshop, name: str, content: bytes, status: int, code: str
    ) -> None:
        answer = await workshop.http.post("/files", files={"file": (name, content)})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"


class TestBadDay:
    async def test_jobs_are_printed_with_redis_gone(self, workshop: Workshop) -> None:
        """Redis neither answers nor refuses: the worst way to be away."""
        async with working_bridge(workshop):
            redis = workshop.system.process("redis")
            redis.send_signal(signal.SIGSTOP)
            try:
                job = await workshop.job(slow_gcode(0.5))
                attempt = await workshop.attempt_is(job, "completed", "failed", "unknown")
                health = (await workshop.http.get("/queue/health")).json()
            finally:
                redis.send_signal(signal.SIGCONT)
            assert (attempt["state"], workshop.starts(attempt)) == ("completed", 1)
            assert (health["status"], health["redis"]) == ("degraded", "disconnected")

    async def test_a_bridge_killed_while_printing_starts_nothing_again(self, workshop: Workshop) -> None:
        async with working_bridge(workshop) as bridge:
            job = await workshop.job(slow_gcode(5))
            attempt = await workshop.attempt_is(job, "printing")
            await bridge.kill()
            assert (await workshop.send("GET", f"/jobs/{job}"))["state"] == "active"
            await bridge.start()
            assert (await workshop.job_is(job, "completed", "failed", "unknown"))["state"] == "completed"
            assert workshop.starts(attempt) == 1
            assert await workshop.history(attempt) == (1, 0)

    async def test_an_outcome_from_while_the_bridge_was_dead_still_arrives(self, workshop: Workshop) -> None:
        async with working_bridge(workshop) as bridge:
            job = await workshop.job(slow_gcode(1))
            attempt = await workshop.attempt_is(job, "printing")
            await bridge.kill()

            async def over() -> bool:
                return await workshop.history(attempt) == (1, 0)

            await eventually(over, within_s=30)
            await bridge.start()
            assert (await workshop.job_is(job, "completed", "failed", "unknown"))["state"] == "completed"
            assert workshop.starts(attempt) == 1

    async def test_the_queue_killed_while_printing_loses_nothing(self, workshop: Workshop) -> None:
        async with working_bridge(workshop):
            job = await workshop.job(slow_gcode(4))
            attempt = await workshop.attempt_is(job, "printing")
            workshop.system.process("queue").kill()

            async def back() -> bool:
                answer = await workshop.http.get("/queue/health")
                return answer.status_code == 200

            await eventually(back, within_s=60)
            assert (await workshop.job_is(job, "completed", "failed", "unknown"))["state"] == "completed"
            assert workshop.starts(attempt) == 1

    async def test_an_unknown_outcome_is_ended_by_one_call_and_the_copy_printed_again(self, workshop: Workshop) -> None:
        async with working_bridge(workshop):
            job = await workshop.job(slow_gcode(8))
            first = await workshop.attempt_is(job, "printing")
            await workshop.octoprint.kill()
            await workshop.octoprint.start()
            assert (await workshop.job_is(job, "unknown"))["reason"] == "not_decidable"
            held = (await workshop.send("GET", f"/printers/{workshop.printer}"))["held"]
            assert held["attempt_id"] == first["id"]
            decision = {"outcome": "failed_requeue", "bed_is_clear": True}
            await workshop.send("POST", held["resolve_path"].removeprefix("/api/v1"), json=decision)
            await workshop.job_is(job, "completed")
            second = await workshop.attempt_is(job, "completed")
            assert [workshop.starts(attempt) for attempt in (first, second)] == [1, 1]

    async def test_a_job_waits_while_octoprint_is_offline(self, workshop: Workshop) -> None:
        async with working_bridge(workshop):
            await workshop.octoprint.stop()
            await workshop.printer_is("octoprint_offline")
            job = await workshop.job(slow_gcode(0.5))
            await workshop.octoprint.start()
            attempt = await workshop.attempt_is(job, "completed", "failed", "unknown")
            assert (attempt["state"], workshop.starts(attempt)) == ("completed", 1)

    async def test_a_silent_bridge_is_shown_and_its_job_waits(self, workshop: Workshop) -> None:
        async with working_bridge(workshop) as bridge:
            await bridge.kill()
            await workshop.printer_is("offline")
            job = await workshop.job(slow_gcode(0.5))
            assert (await workshop.send("GET", f"/jobs/{job}"))["state"] == "queued"
            await bridge.start()
            await workshop.job_is(job, "completed")


async def _frames(workshop: Workshop, count: int) -> list[bytes]:
    """Pictures as an `<img>` gets them: with a view token in the address and no header."""

    async def camera() -> str | None:
        items = (await workshop.send("GET", "/cameras"))["items"]
        return str(items[0]["id"]) if items else None

    path = f"/cameras/{await eventually(camera)}"
    token = (await workshop.send("POST", f"{path}/view-tokens"))["token"]
    found: list[bytes] = []
    received = b""
    async with (
        asyncio.timeout(20),
        httpx.AsyncClient(base_url=workshop.http.base_url) as viewer,
        viewer.stream("GET", f"{path}/stream", params={"token": token}) as stream,
    ):
        async for chunk in stream.aiter_bytes():
            received += chunk
            *whole, received = received.split(b"\xff\xd9")
            found += [b"\xff\xd8" + part.partition(b"\xff\xd8")[2] for part in whole]
            if len(found) >= count:
                break
    return found[:count]


async def _is_recorded(workshop: Workshop, attempt: Json) -> None:
    """There is a video of the print, and a picture of its start and of its end."""

    async def ready() -> Json | None:
        items = (await workshop.send("GET", attempt["timelapses_path"].removeprefix("/api/v1")))["items"]
        return items[0] if items and items[0]["state"] not in {"recording", "rendering"} else None

    timelapse = await eventually(ready, within_s=60)
    assert (timelapse["state"], timelapse["outcome"]) == ("ready", "completed")
    assert timelapse["frames"] >= 1
    video = await workshop.http.get(f"/cameras/timelapses/{timelapse['id']}/video", headers={"Range": "bytes=4-7"})
    assert (video.status_code, video.content) == (206, b"ftyp")
    pictures = (await workshop.send("GET", attempt["pictures_path"].removeprefix("/api/v1")))["items"]
    assert [picture["moment"] for picture in pictures] == ["end", "start"]
    image = await workshop.http.get(pictures[0]["image_path"].removeprefix("/api/v1"))
    assert image.content.startswith(b"\xff\xd8")


async def _until(stream: httpx.Response, start: str) -> AsyncIterator[str]:
    """The first line that starts so."""
    async for line in stream.aiter_lines():
        if line.startswith(start):
            yield line
            return
