"""Recording, viewing and rendering do not take from each other; what fails is named, and the rest goes on."""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import httpx
import pytest

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.disk import THREADS
from fluxprint_camera.recording import recorder, recording, repository
from fluxprint_camera.recording import store as store_of_recordings
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.recording import Place
from fluxprint_camera.recording.retention import Retention
from fluxprint_camera.recording.store import Store
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_common.prints import PrintState
from fluxprint_local.jpeg import frame_number
from support.queue import eventually
from support.studio import WITHIN_S, Json, Studio, finished
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
                asked = [client.get(path) for _ in range(12)]  # more than there are connections
                assert {answer.status_code for answer in await asyncio.gather(*asked)} == {200}

                async def named() -> bool:
                    return bool((await filmed.timelapse(print_, "recording"))["problem"] == "disk_failed")

                await eventually(named, within_s=WITHIN_S)
                await sees(filmed, 5)
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

    async def test_pictures_that_are_owed_when_the_service_stops_are_counted_as_lost(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with studio.running():
            await studio.add_camera()
            async with studio.filming():
                lost = studio.app.state.metrics.registry.get_sample_value
                print_ = studio.starts()
                await studio.frames_on_disk(await studio.timelapse(print_, "recording"), 2)
                disk = Disk(monkeypatch, refusals=2**30)
                studio.ends(print_)

                async def refused() -> bool:
                    return bool(disk.pictures)

                await eventually(refused, within_s=WITHIN_S)
        assert len(disk.pictures) == 1
        assert lost("camera_recording_pictures_lost_total", {"moment": "end"}) == 1

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


class TestRetention:
    async def test_deletes_what_is_too_old_and_what_is_too_much(self, studio: Studio) -> None:
        # Nothing is deleted by the service itself: it tidied when it started.
        async with studio.running(recordings_kept_days=10, recordings_bytes=2**20 + 100):
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            await studio.add_camera()
            old, big, small = [await finished(place, studio, size_bytes=size) for size in (10, 2**20, 20)]
            going_on = await finished(place, studio, size_bytes=100, state="recording")
            async with place.database.unit_of_work() as session:
                row = await session.get_one(TimelapseRow, old)
                row.created_at = row.created_at.replace(year=2020)
            await Retention(place).tidy()
            async with place.database.reading() as session:
                left = {id_ for id_ in (old, big, small, going_on) if await session.get(TimelapseRow, id_)}
            assert left == {small, going_on}
            assert [place.store.video(id_).exists() for id_ in (old, big, small)] == [False, False, True]

    async def test_leaves_half_to_what_is_finished_however_much_is_being_recorded(self, studio: Studio) -> None:
        async with studio.running(recordings_bytes=2**34):
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            neighbour = studio.neighbour()
            for at in (studio, neighbour):
                await at.add_camera()
            sizes = [(studio, 2**32)] * 3 + [(neighbour, 2**33)] * 2
            videos = [await finished(place, at, size_bytes=size) for at, size in sizes]
            for unfinished in ("recording", "rendering"):
                await finished(place, studio, size_bytes=2**40, state=unfinished)
            await Retention(place).tidy()
            assert [place.store.video(id_).exists() for id_ in videos] == [False, True, True, True, True]

    async def test_deletes_pictures_by_a_bound_of_their_own(self, studio: Studio) -> None:
        async with studio.running(recordings_bytes=2**20, recording_pictures_bytes=2**20):
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            await studio.add_camera()
            video, *pictures = [await finished(place, studio, size_bytes=2**20), *(new_id() for _ in range(3))]
            async with place.database.unit_of_work() as session:
                timelapse = await session.get_one(TimelapseRow, video)
                for id_ in pictures:
                    await place.store.add_picture(id_, b"picture")
                    await repository.add_picture(
                        session, timelapse, id_=id_, moment="end", captured_at=datetime.now(UTC), size_bytes=2**19
                    )
            await Retention(place).tidy()
            assert [place.store.picture(id_).exists() for id_ in pictures] == [False, True, True]
            assert place.store.video(video).exists()

    async def test_deletes_what_is_of_a_camera_that_was_forgotten(self, studio: Studio) -> None:
        async with studio.running():
            state = studio.app.state
            place = Place(state.hub, state.recordings, state.database, state.settings)
            await studio.add_camera()
            neighbour = studio.neighbour()
            await neighbour.add_camera("forgotten")
            kept, gone = [await finished(place, at, size_bytes=10) for at in (studio, neighbour)]
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
            kept = await finished(place, studio, size_bytes=10)
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
