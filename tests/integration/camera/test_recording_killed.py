"""ffmpeg or the whole service is killed while a video is made, or the camera's bridge is at another replica."""

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from fluxprint_camera.recording import renderer
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.store import Store
from fluxprint_camera.relay.frame import Frame
from fluxprint_common.database import Database as Access
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role
from fluxprint_local.jpeg import numbered_picture
from fluxprint_local.ports import free_port
from support import camera_service, servers
from support.queue import eventually
from support.servers import Database
from support.studio import WITHIN_S, Json, Studio
from support.tokens import Issuer


class Ffmpeg:
    """The real one behind a script that hangs in the middle of a video until it is let through."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ffmpeg"
        self._through = folder / "through"
        self._pids = folder / "pids"
        self._pids.touch()
        self.path.write_text(
            f'#!/bin/sh\nif [ -e {self._through} ]; then exec {imageio_ffmpeg.get_ffmpeg_exe()} "$@"; fi\n'
            f'echo $$ >>{self._pids}\nfor video; do :; done\necho half >"$video"\nexec /bin/sleep 600\n'
        )
        self.path.chmod(0o755)

    def let_through(self) -> None:
        self._through.touch()

    async def hangs(self, times: int) -> int:
        """Wait until it hangs so often; the newest one's process."""

        async def there() -> int | None:
            pids = self._pids.read_text().split()
            return int(pids[-1]) if len(pids) >= times else None

        return await eventually(there, within_s=WITHIN_S)


async def recorded(studio: Studio) -> Json:
    """A print whose video is to be made."""
    await studio.add_camera()
    async with studio.filming():
        print_ = studio.starts()
        await studio.frames_on_disk(await studio.timelapse(print_, "recording"), 3)
        studio.ends(print_)
        return await studio.timelapse(print_, "rendering")


async def state_of(studio: Studio, timelapse: Json, *states: str) -> Json:
    async def there() -> Json | None:
        now = await studio.get(f"/timelapses/{timelapse['id']}")
        return now if now["state"] in states else None

    return await eventually(there, within_s=WITHIN_S, every_s=0.1)


class TestFfmpegKilled:
    async def test_is_tried_again_some_times_and_when_somebody_asks(
        self, studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(renderer, "KILLED_REST_S", 0.1)
        monkeypatch.setattr(renderer, "LOOK_S", 0.1)
        ffmpeg = Ffmpeg(tmp_path)
        async with studio.running(ffmpeg=str(ffmpeg.path)):
            timelapse = await recorded(studio)
            for times in range(1, renderer.TRIES + 1):
                os.kill(await ffmpeg.hangs(times), signal.SIGKILL)
            failed = await state_of(studio, timelapse, "failed", "ready")
            assert (failed["state"], failed["problem"]) == ("failed", "render_failed")
            again = f"/timelapses/{timelapse['id']}/render"
            async with studio.client() as owner, studio.client(Role.VIEWER) as viewer:
                assert (await viewer.post(again)).status_code == 403
                assert (await owner.post(again)).json()["state"] == "rendering"
                os.kill(await ffmpeg.hangs(renderer.TRIES + 1), signal.SIGKILL)
                ffmpeg.let_through()
                ready = await state_of(studio, timelapse, "failed", "ready")
                assert (ready["state"], ready["problem"], ready["frames"]) == ("ready", None, failed["frames"])
                refused = await owner.post(again)
                assert (refused.status_code, refused.json()["code"]) == (409, "timelapse_not_failed")
            assert not studio.frames_folder(timelapse).exists()


class TestServiceKilled:
    async def test_leaves_no_ffmpeg_behind_and_the_next_makes_the_video(
        self, database: Database, issuer: Issuer, redis_url: str, tmp_path: Path
    ) -> None:
        ffmpeg, data = Ffmpeg(tmp_path), tmp_path / "data"
        row = TimelapseRow(
            id=new_id(), organisation_id=new_id(), printer_id=new_id(), camera_id=new_id(), job_id=new_id(),
            attempt_id=new_id(), state="rendering", frames=5, started_at=datetime.now(UTC),
        )  # fmt: skip
        store = Store(data, reserve_bytes=0)
        for number in range(1, 6):
            await store.add_frame(row.id, number, numbered_picture(number))
        access = Access(database.url_for("camera"), application="test", pool_size=1)
        async with access.unit_of_work() as session:
            session.add(row)
        settings = {
            "CAMERA_DATA_DIR": str(data),
            "CAMERA_DATA_RESERVE_BYTES": "0",
            "CAMERA_FFMPEG": str(ffmpeg.path),
        }
        process = camera_service.process_of(
            free_port(), issuer, redis_url, "http://127.0.0.1:1", database.url_for("camera"), settings
        )
        async with servers.started(process, tmp_path / "camera.log") as service:
            pid = await ffmpeg.hangs(1)
            service.kill()
            service.wait()

            async def gone() -> bool:
                with suppress(psutil.NoSuchProcess):
                    return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
                return True

            await eventually(gone, within_s=WITHIN_S)
        ffmpeg.let_through()
        await servers.execute(database.url, "DELETE FROM camera.duty")  # it would be over by itself in some seconds

        async def ready() -> TimelapseRow | None:
            async with access.reading() as session:
                now = await session.get_one(TimelapseRow, row.id)
            return now if now.state != "rendering" else None

        async with servers.started(process, tmp_path / "camera.log"):
            done = await eventually(ready, within_s=WITHIN_S, every_s=0.1)
        assert (done.state, done.frames, done.renders) == ("ready", 5, 2)
        assert store.video(row.id).read_bytes()[4:8] == b"ftyp"
        await access.close()
        store.close()


class TestOtherReplica:
    @pytest.fixture
    async def elsewhere(self, studio: Studio, redis_url: str) -> AsyncIterator[Studio]:
        """A replica that has the bridge, beside the one that records."""
        studio.settings.update(redis_url=redis_url, replica_beat_s=0.2)
        elsewhere = Studio(
            studio.database, studio.issuer, studio.folder, studio.queue, studio.settings,
            studio.organisation, studio.printer, studio.camera,
        )  # fmt: skip
        async with studio.running():
            await studio.add_camera()

            async def on_duty() -> bool:
                return bool(studio.app.state.recorder.on_duty)

            await eventually(on_duty, within_s=WITHIN_S)
            async with elsewhere.running():
                yield elsewhere

    async def test_records_what_a_bridge_sends_elsewhere(self, studio: Studio, elsewhere: Studio) -> None:
        async with elsewhere.filming():
            print_ = studio.starts()
            await studio.frames_on_disk(await studio.timelapse(print_, "recording"), 3)
            assert not elsewhere.app.state.recorder.on_duty
            studio.ends(print_)
            assert (await studio.timelapse(print_, "ready"))["frames"] >= 3
            assert [picture["moment"] for picture in await studio.pictures(print_)] == ["start", "end"]

    async def test_sends_no_picture_from_before_a_print_as_one_of_its_start(
        self, studio: Studio, elsewhere: Studio
    ) -> None:
        def sent(number: int) -> Frame:
            return Frame.of(numbered_picture(number, rows=16), sequence=number, captured_at=datetime.now(UTC))

        async def taken() -> bool:
            value = studio.app.state.metrics.registry.get_sample_value("camera_frames_from_replicas_total")
            return value is not None and value >= 1

        who = {"camera_id": studio.camera, "organisation_id": studio.organisation}
        with elsewhere.app.state.hub.publishing(**who, expires_in_s=600) as publication:
            publication.publish(sent(1))
            print_ = studio.starts()
            await eventually(taken, within_s=WITHIN_S)

            async def pictures() -> list[Json]:
                publication.publish(sent(2))
                return await studio.pictures(print_)

            [start] = await eventually(pictures, within_s=WITHIN_S, every_s=0.1)
            assert await studio.shown(start) == 2
            studio.ends(print_)
            await studio.timelapse(print_, "ready")
