"""Recording, viewing and rendering do not take from each other; what fails is named, and the rest goes on."""

import asyncio
import errno
import os
import random
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from uuid import UUID

import httpx
import pytest

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.disk import THREADS
from fluxprint_camera.recording import ffmpeg, recorder, recording
from fluxprint_camera.recording import store as store_of_recordings
from fluxprint_camera.recording.ffmpeg import Film, Mounting, RenderFailed, fitting, render
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.recording import Place
from fluxprint_camera.recording.renderer import Renderer
from fluxprint_camera.recording.retention import Retention
from fluxprint_camera.recording.store import Store
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_common.prints import PrintState
from fluxprint_local.jpeg import encode, frame_number, numbered_picture
from support.queue import eventually
from support.studio import WITHIN_S, Json, Studio
from support.uplink import sleeper, stream


@pytest.fixture
async def filmed(studio: Studio) -> AsyncIterator[Studio]:
    async with studio.running():
        await studio.add_camera()
        async with studio.filming():
            yield studio


def live(studio: Studio) -> str:
    return f"/api/v1/cameras/{show('camera', studio.camera)}/stream"


async def sees(studio: Studio, count: int) -> None:
    """A viewer is shown so many new pictures."""
    async with studio.client() as client:
        client.base_url = httpx.URL(studio.url)
        async with stream(client, live(studio)) as pictures:
            numbers = [frame_number(await pictures.next()) for _ in range(count)]
    assert len(set(numbers)) == count


class Disk:
    """Takes no picture of a moment so often.

    Attributes:
        pictures: those that were tried, in turn.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, refusals: int) -> None:
        self.refusals = refusals
        self.pictures: list[bytes] = []
        write = Store._write

        def take(store: Store, path: Path, data: bytes, *, sync: bool = False) -> None:
            if "prints" in path.parts:
                self.pictures.append(data)
                if self.refusals:
                    self.refusals -= 1
                    raise OSError(errno.EIO, "it does not take it now")
            write(store, path, data, sync=sync)

        monkeypatch.setattr(Store, "_write", take)


class TestViewersAndRecordings:
    async def test_stuck_viewers_keep_nothing_from_being_recorded(self, filmed: Studio) -> None:
        token = filmed.issuer.user_token(organisation=filmed.organisation, role=Role.VIEWER)
        async with AsyncExitStack() as stack:
            for _ in range(5):
                await stack.enter_async_context(sleeper(filmed.url, live(filmed), token))
            hub = filmed.app.state.hub

            async def watched() -> bool:
                return bool(hub.look(camera_id=filmed.camera, organisation_id=filmed.organisation).viewers == 5)

            await eventually(watched, within_s=WITHIN_S)
            print_ = filmed.starts()
            await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 5)
            filmed.ends(print_)
            assert (await filmed.timelapse(print_, "ready"))["frames"] >= 5

    async def test_a_disk_that_hangs_is_named_and_keeps_nothing_from_people(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "DISK_REST_S", 0.1)
        monkeypatch.setattr(store_of_recordings, "FILE_S", 1)
        monkeypatch.setattr(store_of_recordings, "LOOK_S", WITHIN_S)
        print_ = filmed.starts()

        async def pictures() -> list[Json]:
            return await filmed.pictures(print_)

        [start] = await eventually(pictures, within_s=WITHIN_S)
        hanging, released, write = threading.Semaphore(0), threading.Event(), Store._write

        def hang(store: Store, path: Path, data: bytes, *, sync: bool = False) -> None:
            hanging.release()
            assert released.wait(WITHIN_S)
            write(store, path, data, sync=sync)

        monkeypatch.setattr(Store, "_write", hang)
        try:
            for _ in range(THREADS):
                assert await asyncio.to_thread(hanging.acquire, timeout=WITHIN_S)
            path = start["image_path"].removeprefix("/api/v1/cameras")
            async with filmed.client() as client:
                asked = [asyncio.create_task(client.get(path)) for _ in range(12)]  # more than there are connections

                async def named() -> bool:
                    return bool((await filmed.timelapse(print_, "recording"))["problem"] == "disk_failed")

                await eventually(named, within_s=WITHIN_S)
                await sees(filmed, 5)
                assert not any(one.done() for one in asked)
                monkeypatch.setattr(store_of_recordings, "LOOK_S", 0.1)
                assert (await client.get(path)).json()["code"] == "files_away"
                released.set()
                assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}
        finally:
            released.set()
        filmed.ends(print_)
        await filmed.timelapse(print_, "ready")

    async def test_a_full_disk_is_named_and_recording_goes_on_when_it_is_not(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "DISK_REST_S", 0.2)
        store: Store = filmed.app.state.recordings
        monkeypatch.setattr(store, "_reserve_bytes", 2**60)
        print_ = filmed.starts()

        async def named() -> bool:
            return bool((await filmed.timelapse(print_, "recording"))["problem"] == "disk_full")

        await eventually(named, within_s=WITHIN_S)
        await sees(filmed, 3)
        async with httpx.AsyncClient(base_url=filmed.url) as client:

            async def shown() -> bool:
                health = (await client.get("/health")).json()
                return bool((health["status"], health["recordings"]) == ("degraded", "failing"))

            await eventually(shown, within_s=WITHIN_S)
        monkeypatch.setattr(store, "_reserve_bytes", 0)
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 2)
        filmed.ends(print_)
        assert (await filmed.timelapse(print_, "ready"))["problem"] == "disk_full"
        assert store.trouble is None

    async def test_pictures_that_the_disk_does_not_take_at_first_are_kept_all_the_same(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "DISK_REST_S", 0.2)
        disk = Disk(monkeypatch, refusals=2)
        print_ = filmed.starts()
        # Frames come when the picture is there: else they would show a print whose start nobody saw.
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 3)
        disk.refusals = 2
        filmed.ends(print_, PrintState.FAILED)
        await filmed.timelapse(print_, "ready")
        pictures = await filmed.pictures(print_)
        assert [picture["moment"] for picture in pictures] == ["start", *["before_failure"] * 5, "failure"]
        numbers = [await filmed.shown(picture) for picture in pictures]
        assert numbers == sorted(set(numbers))
        refused, written = disk.pictures[0], disk.pictures[2]
        assert refused == written  # the very one that was refused, not one of later

    async def test_pictures_that_the_disk_never_takes_are_counted_and_named(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recording, "DISK_REST_S", 0.1)
        lost = filmed.app.state.metrics.registry.get_sample_value
        print_ = filmed.starts()
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 2)
        disk = Disk(monkeypatch, refusals=2**30)
        filmed.ends(print_)
        assert (await filmed.timelapse(print_, "ready"))["problem"] == "disk_failed"
        assert [picture["moment"] for picture in await filmed.pictures(print_)] == ["start"]
        assert lost("camera_recording_pictures_lost_total", {"moment": "end"}) == 1
        assert len(disk.pictures) == recording.END_TRIES

    async def test_a_database_that_is_away_keeps_nothing_from_being_recorded(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away() -> NoReturn:
            raise ConnectionRefusedError

        print_ = filmed.starts()
        timelapse = await filmed.timelapse(print_, "recording")
        with monkeypatch.context() as patch:
            patch.setattr(filmed.app.state.database, "unit_of_work", away)
            patch.setattr(recording, "TRY_AGAIN_S", 0.1)
            before = len(list(filmed.frames_folder(timelapse).glob("*.jpg")))
            await filmed.frames_on_disk(timelapse, before + 3)
            filmed.ends(print_, PrintState.FAILED)
            await filmed.queue.asked_twice()
        assert (await filmed.timelapse(print_, "ready"))["outcome"] == "failed"
        assert {picture["moment"] for picture in await filmed.pictures(print_)} >= {"start", "failure"}

    async def test_a_renderer_that_hangs_keeps_nothing_from_being_recorded(self, studio: Studio) -> None:
        pid = studio.folder.with_name("pid")
        program = studio.folder.with_name("hangs")
        program.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec sleep 600\n")
        program.chmod(0o755)
        async with studio.running(ffmpeg=str(program), render_timeout_s=3600):
            await studio.add_camera()
            async with studio.filming():
                first = studio.starts()
                await studio.frames_on_disk(await studio.timelapse(first, "recording"), 1)
                studio.ends(first)

                async def renders() -> bool:
                    return pid.exists() and bool(pid.read_text().strip())

                await eventually(renders, within_s=WITHIN_S)
                second = studio.starts()
                await studio.frames_on_disk(await studio.timelapse(second, "recording"), 3)
                await sees(studio, 3)
                assert (await studio.timelapse(first, "rendering"))["id"]
        with pytest.raises(ProcessLookupError):  # it ends with the service
            os.kill(int(pid.read_text()), 0)


class TestReplicas:
    async def test_one_records_and_another_takes_over(self, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(recorder, "DUTY_S", 1.5)
        other = Studio(studio.database, studio.issuer, studio.folder, studio.queue, {})

        async def on_duty(one: Studio) -> bool:
            return bool(one.app.state.recorder.on_duty)

        async with other.running(), studio.running():
            await eventually(lambda: on_duty(other), within_s=WITHIN_S)
            asked = studio.queue.asked

            async def looked() -> bool:
                return studio.queue.asked > asked + 6

            await eventually(looked, within_s=WITHIN_S)
            assert not await on_duty(studio)
            await other.app.state.loops.stop("recorder")  # it hangs, and says nothing any more
            await eventually(lambda: on_duty(studio), within_s=WITHIN_S)


class TestRenderer:
    async def test_takes_organisations_in_turn(self, studio: Studio) -> None:
        async with studio.running():
            state = studio.app.state
            await state.loops.stop("renderer")
            place = Place(state.hub, state.recordings, state.database, state.settings)
            renderer, finished = Renderer(place, state.recorder), TestRetention().finished
            many = [await finished(place, studio, size_bytes=10, state="rendering") for _ in range(3)]
            one = await finished(place, studio.neighbour(), size_bytes=10, state="rendering")
            begun = []
            while (row := await renderer._next()) is not None:
                begun.append(row.id)
                async with place.database.unit_of_work() as session:
                    (await session.get_one(TimelapseRow, row.id)).state = "ready"
            assert begun == [many[0], one, *many[1:]]

    async def test_gives_a_video_that_would_be_too_large_less_quality_and_loses_none_of_it(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ready, video = await self.rendered(studio, monkeypatch)
        assert (ready["state"], ready["problem"], ready["frames"]) == ("ready", None, 60)
        assert ready["size_bytes"] == len(video) < self.MAX_BYTES

    async def test_says_so_where_a_video_ends_before_its_print(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ffmpeg, "FILLED", 100)  # less quality does not help
        ready, video = await self.rendered(studio, monkeypatch)
        assert (ready["state"], ready["problem"]) == ("ready", "video_cut")
        assert 0 < ready["frames"] < 60
        assert len(video) < 2 * self.MAX_BYTES
        assert ready["duration_s"] == pytest.approx(ready["frames"] / 25)

    MAX_BYTES = 300_000

    async def rendered(self, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> tuple[Json, bytes]:
        """The timelapse of 60 pictures of noise, which take a multiple of that at the quality that videos have."""
        noise = random.Random(1)
        async with studio.running():
            state = studio.app.state
            monkeypatch.setitem(state.settings.__dict__, "render_max_bytes", self.MAX_BYTES)
            await studio.add_camera()
            await state.loops.stop("renderer")
            place = Place(state.hub, state.recordings, state.database, state.settings)
            timelapse = await TestRetention.finished(place, studio, size_bytes=0, state="rendering", frames=60)
            place.store.video(timelapse).unlink()
            for number in range(1, 61):
                grid = [[noise.randrange(256) for _ in range(80)] for _ in range(60)]
                await place.store.add_frame(timelapse, number, encode(grid))
            state.loops.start("renderer", Renderer(place, state.recorder).run, critical=False)

            async def done() -> Json | None:
                found = await studio.get(f"/timelapses/{show('timelapse', timelapse)}")
                return found if found["state"] != "rendering" else None

            ready = await eventually(done, within_s=WITHIN_S, every_s=0.1)
            return ready, place.store.video(timelapse).read_bytes()


class TestRetention:
    async def test_deletes_what_is_too_old_and_what_is_too_much(self, studio: Studio) -> None:
        # Nothing is deleted by the service itself: it tidied when it started.
        async with studio.running(recordings_kept_days=10, recordings_bytes=2**20 + 100):
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            await studio.add_camera()
            old, big, small = [await self.finished(place, studio, size_bytes=size) for size in (10, 2**20, 20)]
            going_on = await self.finished(place, studio, size_bytes=100, state="recording")
            async with place.database.unit_of_work() as session:
                row = await session.get_one(TimelapseRow, old)
                row.created_at = row.created_at.replace(year=2020)
            await Retention(place).tidy()
            async with place.database.reading() as session:
                left = {id_ for id_ in (old, big, small, going_on) if await session.get(TimelapseRow, id_)}
            assert left == {small, going_on}
            assert [place.store.video(id_).exists() for id_ in (old, big, small)] == [False, False, True]

    async def test_deletes_what_is_of_a_camera_that_was_forgotten(self, studio: Studio) -> None:
        async with studio.running():
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            await studio.add_camera()
            neighbour = studio.neighbour()
            await neighbour.add_camera("forgotten")
            kept, gone = [await self.finished(place, at, size_bytes=10) for at in (studio, neighbour)]
            await Retention(place).tidy()
            assert place.store.video(gone).exists()
            async with place.database.unit_of_work() as session:
                await session.delete(await session.get_one(CameraRow, neighbour.camera))
            await Retention(place).tidy()
            assert [place.store.video(id_).exists() for id_ in (kept, gone)] == [True, False]
            async with place.database.reading() as session:
                assert await session.get(TimelapseRow, gone) is None

    async def test_sweeps_files_that_belong_to_nobody(self, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
        async with studio.running():
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            await studio.add_camera()
            kept = await self.finished(place, studio, size_bytes=10)
            stray, picture = new_id(), new_id()
            await place.store.add_frame(stray, 1, b"frame")
            await place.store.add_picture(picture, b"picture")
            half_written = [
                place.store.picture(new_id()).with_suffix(".part"),
                place.store.video(kept).with_suffix(".part"),
            ]
            for path in half_written:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"half")
            await Retention(place).tidy()
            assert place.store.picture(picture).exists()  # its row may be about to come
            assert all(path.exists() for path in half_written)  # somebody may be writing
            monkeypatch.setattr("fluxprint_camera.recording.store.ORPHAN_S", -1.0)
            await Retention(place).tidy()
            assert not place.store.picture(picture).exists()
            assert not place.store.frames_folder(stray).exists()
            assert not any(path.exists() for path in half_written)
            assert place.store.video(kept).exists()

    @staticmethod
    async def finished(place: Place, studio: Studio, *, size_bytes: int, state: str = "ready", frames: int = 0) -> UUID:
        """A timelapse with a file and a picture."""
        row = TimelapseRow(
            id=new_id(), organisation_id=studio.organisation, printer_id=studio.printer, camera_id=studio.camera,
            job_id=new_id(), attempt_id=new_id(), state=state, size_bytes=size_bytes, started_at=datetime.now(UTC),
            frames=frames,
        )  # fmt: skip
        async with place.database.unit_of_work() as session:
            session.add(row)
        video = place.store.video(row.id)
        video.parent.mkdir(parents=True, exist_ok=True)
        video.write_bytes(b"video")
        return row.id


class TestFfmpeg:
    FILM = Film(25, 320, 128, 2**20)

    @staticmethod
    def frames(folder: Path, *pictures: bytes) -> Path:
        for number, picture in enumerate(pictures):
            (folder / f"{number:09d}.jpg").write_bytes(picture)
        return folder

    async def test_leaves_out_what_is_no_picture_and_takes_what_has_another_size(self, tmp_path: Path) -> None:
        whole = [numbered_picture(number, rows=16) for number in range(3)]
        pictures = [
            whole[0],
            b"\xff\xd8 nothing \xff\xd9",
            whole[1][: len(whole[1]) // 2],
            numbered_picture(9),
            whole[2],
        ]
        folder = self.frames(tmp_path, *pictures)
        told: list[int] = []
        frames = await render(
            None, folder, self.FILM, tmp_path / "video.part", timeout_s=WITHIN_S, on_progress=told.append
        )
        assert 3 <= frames <= 5
        assert told[-1] == frames

    async def test_turns_what_hangs_upside_down(self, tmp_path: Path) -> None:
        folder = self.frames(tmp_path, numbered_picture(1, rows=16))
        film = Film(25, 320, 128, 2**20, Mounting(90, flip_h=True, flip_v=True))
        video = tmp_path / "video.part"
        assert await render(None, folder, film, video, timeout_s=WITHIN_S, on_progress=print) == 1
        track = video.read_bytes().split(b"avc1")[-1]
        width, height = (int.from_bytes(track[at : at + 2], "big") for at in (24, 26))
        assert (width, height) == (128, 320)

    async def test_runs_with_the_lowest_priority_and_is_the_first_to_go(self, tmp_path: Path) -> None:
        program = tmp_path / "waits"
        as_it_is = '"$(nice) $(cat /proc/self/oom_score_adj)"'
        program.write_text(
            f'#!/bin/sh\nPATH=/usr/bin:/bin\nwhile [ {as_it_is} != "19 1000" ]; do sleep 0.05; done\nexit 1\n'
        )
        program.chmod(0o755)
        with pytest.raises(RenderFailed, match="render_failed"):
            await render(str(program), tmp_path, self.FILM, tmp_path / "video", timeout_s=WITHIN_S, on_progress=print)

    async def test_takes_any_rate_that_it_is_squeezed_to(self, tmp_path: Path) -> None:
        folder = self.frames(tmp_path, numbered_picture(1, rows=16))
        for max_bytes, of_frames in ((2**40, 1), (2**20, 200_000)):
            film = replace(self.FILM, max_bytes=max_bytes).squeezed(of_frames)
            video = tmp_path / "video.part"
            assert await render(None, folder, film, video, timeout_s=WITHIN_S, on_progress=print) == 1

    async def test_is_ended_after_its_time(self, tmp_path: Path) -> None:
        program = tmp_path / "hangs"
        program.write_text("#!/bin/sh\nexec /bin/sleep 600\n")
        program.chmod(0o755)
        with pytest.raises(RenderFailed, match="render_timeout"):
            await render(str(program), tmp_path, self.FILM, tmp_path / "video", timeout_s=0.2, on_progress=print)

    @pytest.mark.parametrize(
        ("size", "expected"), [((640, 480), (640, 480)), ((1921, 1081), (1280, 720)), ((3, 9000), (2, 9000))]
    )
    def test_makes_videos_even_and_not_too_wide(self, size: tuple[int, int], expected: tuple[int, int]) -> None:
        assert fitting(*size, max_width_px=1280) == expected
