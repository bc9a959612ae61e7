"""Prints are recorded: a video at the end, pictures on the way, whatever becomes of the service meanwhile."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from unittest.mock import AsyncMock
from uuid import UUID

import httpx
import imageio_ffmpeg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.recording import recorder, repository
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.settings import RecordingSettings
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_common.prints import Print, PrintState
from support.queue import eventually
from support.studio import WITHIN_S, Json, Studio


def probed(video: Path) -> tuple[str, int]:
    """What ffmpeg says of a video's stream, and how many frames it decodes."""
    program = imageio_ffmpeg.get_ffmpeg_exe()
    command = [program, "-hide_banner", "-i", str(video), "-map", "0:v", "-f", "null", "-progress", "pipe:1", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    [stream] = re.findall(r"Stream #0:0.*Video: (.*)", done.stderr.split("Output #0")[0])
    return stream, int(re.findall(r"frame=\s*(\d+)", done.stdout)[-1])


class TestTimelapse:
    async def test_is_ready_after_the_print(self, filmed: Studio, tmp_path: Path) -> None:
        print_ = filmed.starts()
        recording = await filmed.timelapse(print_, "recording")
        await filmed.frames_on_disk(recording, 4)
        filmed.ends(print_)
        ready = await filmed.timelapse(print_, "ready", "failed", "empty")
        assert (ready["state"], ready["problem"], ready["outcome"]) == ("ready", None, "completed")
        assert ready["progress"] == 1.0
        async with filmed.client() as client:
            answer = await client.get(f"/timelapses/{ready['id']}/video")
            part = await client.get(f"/timelapses/{ready['id']}/video", headers={"Range": "bytes=4-7"})
        assert answer.headers["content-type"] == "video/mp4"
        assert len(answer.content) == ready["size_bytes"]
        assert (part.status_code, part.content) == (206, b"ftyp")
        assert answer.content.index(b"moov") < answer.content.index(b"mdat")  # it plays while it loads
        video = tmp_path / "video.mp4"
        video.write_bytes(answer.content)
        stream, frames = probed(video)
        assert stream.startswith("h264")
        assert "yuv420p" in stream
        assert "320x128" in stream
        assert frames == ready["frames"] >= 4
        assert ready["duration_s"] == pytest.approx(frames / 25)
        assert not filmed.frames_folder(ready).exists()
        async with httpx.AsyncClient() as anybody:
            lines = (await anybody.get(f"{filmed.url}/metrics")).text.splitlines()
        counts = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        assert float(counts["camera_recording_frames_total"]) >= frames
        for name in ('camera_timelapses_total{state="ready"}', 'camera_recording_pictures_total{moment="end"}'):
            assert float(counts[name]) >= 1
        assert "camera_recordings_running" in counts
        assert 'camera_decisions_total{kind="frozen"}' in counts

    async def test_is_deleted_by_who_manages_printers(self, filmed: Studio) -> None:
        print_ = filmed.starts()
        recording = await filmed.timelapse(print_, "recording")
        path = f"/timelapses/{recording['id']}"
        async with filmed.client() as client, filmed.client(Role.VIEWER) as viewer:
            refused = await client.delete(path)
            assert (refused.status_code, refused.json()["code"]) == (409, "timelapse_unfinished")
            assert (await client.get(f"{path}/video")).json()["code"] == "timelapse_unfinished"
            await filmed.frames_on_disk(recording, 1)
            filmed.ends(print_)
            await filmed.timelapse(print_, "ready")
            assert (await viewer.delete(path)).status_code == 403
            assert (await client.delete(path)).status_code == 204
            assert (await client.get(path)).status_code == 404

            async def gone() -> bool:
                return not list(filmed.folder.rglob(f"{recording['id'].partition('_')[2]}*"))

            await eventually(gone, within_s=WITHIN_S)

    async def test_is_nobody_elses(self, filmed: Studio) -> None:
        print_ = filmed.starts()
        recording = await filmed.timelapse(print_, "recording")

        async def pictured() -> bool:
            return bool(await filmed.pictures(print_))

        await eventually(pictured, within_s=WITHIN_S)
        [picture] = await filmed.pictures(print_)
        path = f"/timelapses/{recording['id']}"
        image = f"/pictures/{picture['id']}/image"
        async with filmed.client(organisation=new_id()) as stranger:
            assert (await stranger.get("/timelapses")).json()["items"] == []
            assert (await stranger.get("/pictures")).json()["items"] == []
            answers = [await stranger.get(path), await stranger.get(f"{path}/video"), await stranger.delete(path)]
            assert [answer.status_code for answer in [*answers, await stranger.get(image)]] == [404] * 4
        elsewhere = filmed.issuer.key_token(organisation=filmed.organisation, printers=[new_id()])
        async with filmed.client() as key:
            key.headers["Authorization"] = f"Bearer {elsewhere}"
            assert (await key.get("/timelapses")).json()["items"] == []
            assert [(await key.get(path)).status_code, (await key.get(image)).status_code] == [404, 404]

    async def test_is_empty_without_a_picture(self, shared_studio: Studio) -> None:
        studio = shared_studio.neighbour()
        await studio.add_camera()
        print_ = studio.starts()
        await studio.timelapse(print_, "recording")
        studio.ends(print_)
        empty = await studio.timelapse(print_, "empty")
        assert await studio.pictures(print_) == []
        async with studio.client() as client:
            answer = await client.get(f"/timelapses/{empty['id']}/video")
        assert (answer.status_code, answer.json()["code"]) == (409, "timelapse_without_video")

    async def test_that_is_over_before_its_print_is_not_begun_again(
        self, shared_studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        studio, begin, begun = shared_studio.neighbour(), repository.begin, []

        async def counted(
            session: AsyncSession, print_: Print, camera_id: UUID, how: RecordingSettings
        ) -> TimelapseRow:
            begun.append(camera_id)
            return await begin(session, print_, camera_id, how)

        monkeypatch.setattr(repository, "begin", counted)
        await studio.add_camera()
        print_ = studio.starts()
        await studio.timelapse(print_, "recording")
        studio.ends(print_)
        await studio.timelapse(print_, "empty")
        studio.queue.prints[print_.attempt_id] = print_  # it is found to go on
        await studio.queue.asked_twice()
        await studio.queue.asked_twice()
        assert begun.count(studio.camera) == 2
        studio.ends(print_)

    async def test_of_one_organisation_are_so_many_at_a_time(
        self, shared_studio: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(shared_studio.app.state.settings.__dict__, "max_recordings_per_organisation", 1)
        studio, other = shared_studio.neighbour(), shared_studio.neighbour()
        second = replace(studio, camera=new_id())
        for one, key in ((studio, "default"), (second, "second"), (other, "default")):
            await one.add_camera(key)
        print_, others = studio.starts(), other.starts()
        await studio.recording_of(print_)
        await other.recording_of(others)
        await studio.queue.asked_twice()
        found = await studio.get("/timelapses", attempt_id=show("attempt", print_.attempt_id))
        assert [item["camera_id"] for item in found["items"]] == [show("camera", studio.camera)]
        studio.ends(print_)
        other.ends(others)

    async def test_gets_shorter_and_not_endless(self, studio: Studio) -> None:
        async with studio.running(timelapse_max_frames=10, timelapse_interval_s=0.1):
            await studio.add_camera()
            async with studio.filming():
                print_ = studio.starts()
                recording = await studio.timelapse(print_, "recording")

                async def thinned() -> bool:
                    found = studio.frames_folder(recording).glob("*.jpg")
                    return max((int(path.stem) for path in found), default=0) > 12

                await eventually(thinned, within_s=WITHIN_S)
                studio.ends(print_)
                ready = await studio.timelapse(print_, "ready")
                assert ready["frames"] <= 11

    async def test_is_made_by_each_camera_of_the_printer(self, filmed: Studio) -> None:
        await replace(filmed, camera=new_id()).add_camera("top")
        print_ = filmed.starts()

        async def both() -> bool:
            recorded = (await filmed.get("/timelapses", job_id=show("job", print_.job_id)))["items"]
            return {item["state"] for item in recorded} == {"ready", "empty"}

        await filmed.frames_on_disk(await filmed.recording_of(print_), 1)
        filmed.ends(print_)
        await eventually(both, within_s=WITHIN_S, every_s=0.1)

    async def test_is_not_made_where_a_camera_records_nothing(self, filmed: Studio) -> None:
        off = replace(filmed, camera=new_id())
        await off.add_camera("off", recording="off")
        async with off.filming():
            print_ = filmed.starts()
            await filmed.frames_on_disk(await filmed.recording_of(print_), 3)
            filmed.ends(print_)
            await filmed.timelapse(print_, "ready")
        kept = [*(await filmed.get("/timelapses"))["items"], *await filmed.pictures(print_)]
        assert {item["camera_id"] for item in kept} == {show("camera", filmed.camera)}

    @pytest.mark.parametrize("how", [{"recording": "layer"}, {"recording_interval_s": 3600}], ids=["layer", "interval"])
    async def test_is_made_as_the_camera_is_set(self, filmed: Studio, how: Json) -> None:
        """Others get a frame every tenth of a second."""
        other = replace(filmed, camera=new_id())
        await other.add_camera("other", **how)
        async with other.filming():
            print_ = filmed.starts()
            recordings = [await studio.recording_of(print_) for studio in (filmed, other)]
            for _ in range(3):  # it prints one layer all the time
                filmed.rises(print_, 0.2)
                await filmed.queue.asked_twice()
            before = [len(list(filmed.frames_folder(one).glob("*.jpg"))) for one in recordings]
            await filmed.frames_on_disk(recordings[0], before[0] + 10)
            filmed.ends(print_)
            ended = await other.recording_of(print_, "ready", "failed", "empty")
        # One may have been under way, and one is of the end.
        assert 1 <= ended["frames"] <= before[1] + 2

    async def test_leaves_out_pauses(self, filmed: Studio) -> None:
        print_ = filmed.starts()
        recording = await filmed.timelapse(print_, "recording")
        await filmed.frames_on_disk(recording, 2)
        filmed.pauses(print_)
        await filmed.queue.asked_twice()
        before = len(list(filmed.frames_folder(recording).glob("*.jpg")))
        await filmed.queue.asked_twice()
        await filmed.queue.asked_twice()
        filmed.ends(print_)
        # One may have been under way, and one is of the end.
        assert (await filmed.timelapse(print_, "ready"))["frames"] <= before + 2

    async def test_has_a_frame_of_each_layer(self, studio: Studio) -> None:
        async with studio.running(timelapse_frame_by="layer", timelapse_interval_s=3600), studio.filming():
            await studio.add_camera()
            print_ = studio.starts()
            recording = await studio.timelapse(print_, "recording")
            await studio.frames_on_disk(recording, 1)
            for layer in range(1, 4):
                for _told in range(2):
                    studio.rises(print_, layer / 5)
                    await studio.queue.asked_twice()
                await studio.frames_on_disk(recording, 1 + layer)
            studio.rises(print_, 0.9)  # a hop, however often it is asked about
            await studio.queue.asked_twice()
            await studio.queue.asked_twice()
            studio.ends(print_)
            assert (await studio.timelapse(print_, "ready"))["frames"] == 5  # and one of the end


class TestRestart:
    @pytest.mark.parametrize("killed", [False, True])
    async def test_goes_on_with_what_is_there(
        self, studio: Studio, killed: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recorder, "DUTY_S", 1.0)
        async with studio.recorded(3) as (print_, before):
            if killed:  # in the middle of a frame, and without giving up its duty
                monkeypatch.setattr(recorder, "_give_up_duty", AsyncMock())
                (studio.frames_folder(before) / "000000004.part").write_bytes(b"\xff\xd8")
        async with studio.running(), studio.filming():
            await studio.frames_on_disk(before, 6)
            studio.ends(print_)
            ready = await studio.timelapse(print_, "ready")
            assert ready["id"] == before["id"]
            assert ready["frames"] >= 6
            assert [picture["moment"] for picture in await studio.pictures(print_)] == ["start", "end"]

    async def test_goes_on_as_it_was_begun_whatever_its_camera_is_set_to(self, studio: Studio) -> None:
        async with studio.recorded(3) as (print_, begun), studio.app.state.database.unit_of_work() as session:
            camera = await session.get_one(CameraRow, studio.camera)
            camera.recording, camera.recording_interval_s = "off", 3600
        async with studio.running(timelapse_frame_by="layer", timelapse_interval_s=3600), studio.filming():
            before = len(list(studio.frames_folder(begun).glob("*.jpg")))
            await studio.frames_on_disk(begun, before + 5)  # one would come at once in any case
            studio.ends(print_)
            assert (await studio.timelapse(print_, "ready"))["frames"] >= before + 5

    async def test_renders_what_there_is_of_a_print_that_ended_meanwhile(self, studio: Studio) -> None:
        async with studio.recorded(3) as (print_, _timelapse):
            pass
        studio.ends(print_, PrintState.CANCELLED)
        async with studio.running():
            ready = await studio.timelapse(print_, "ready")
            assert (ready["outcome"], ready["frames"] >= 3) == ("cancelled", True)

    @pytest.mark.parametrize(("state", "moment"), [(PrintState.COMPLETED, "end"), (PrintState.FAILED, "failure")])
    @pytest.mark.parametrize(("ago_s", "is_shown"), [(540, True), (660, False)])
    async def test_shows_no_end_that_is_long_over(
        self, studio: Studio, state: PrintState, moment: str, ago_s: float, is_shown: bool
    ) -> None:
        async with studio.recorded(1) as (print_, recording):
            pass
        before = len(list(studio.frames_folder(recording).glob("*.jpg")))
        studio.ends(print_, state, ago_s=ago_s)
        studio.queue.silent = True  # until there are pictures
        async with studio.running(), studio.filming():
            await studio.until_online()
            studio.queue.silent = False
            ready = await studio.timelapse(print_, "ready")
            assert ready["frames"] == before + is_shown
            moments = [picture["moment"] for picture in await studio.pictures(print_)]
            assert moments == (["start", moment] if is_shown else ["start"])

    async def test_makes_nothing_of_a_print_that_nobody_knows_any_more(self, studio: Studio) -> None:
        async with studio.recorded(1) as (print_, _timelapse):
            pass
        studio.queue.prints.clear()
        studio.queue.silent = True
        async with studio.running(), studio.filming():
            await studio.until_online()
            studio.queue.silent = False
            assert (await studio.timelapse(print_, "ready"))["outcome"] is None
            assert [picture["moment"] for picture in await studio.pictures(print_)] == ["start"]

    async def test_takes_no_end_for_granted_while_the_queue_is_silent(self, studio: Studio) -> None:
        async with studio.running(), studio.filming():
            await studio.add_camera()
            print_ = studio.starts()
            recording = await studio.timelapse(print_, "recording")
            studio.queue.silent = True
            asked = studio.queue.asked
            await studio.frames_on_disk(recording, 5)

            async def asked_again() -> bool:
                return studio.queue.asked > asked + 3

            await eventually(asked_again, within_s=WITHIN_S)
            assert (await studio.timelapse(print_, "recording"))["id"] == recording["id"]
            studio.queue.silent = False
            studio.ends(print_)
            await studio.timelapse(print_, "ready")


class TestPictures:
    async def test_of_start_and_end_are_kept(self, filmed: Studio) -> None:
        print_ = filmed.starts()
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 2)
        filmed.ends(print_)
        await filmed.timelapse(print_, "ready")
        start, end = await filmed.pictures(print_)
        assert (start["moment"], end["moment"]) == ("start", "end")
        assert await filmed.shown(start) < await filmed.shown(end)

    @pytest.mark.parametrize("state", [PrintState.FAILED, PrintState.UNKNOWN])
    async def test_of_a_failure_show_what_came_before_it(self, filmed: Studio, state: PrintState) -> None:
        print_ = filmed.starts()
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 8)
        filmed.ends(print_, state)
        assert (await filmed.timelapse(print_, "ready"))["outcome"] == state
        pictures = await filmed.pictures(print_)
        assert [picture["moment"] for picture in pictures] == ["start", *["before_failure"] * 5, "failure"]
        numbers = [await filmed.shown(picture) for picture in pictures]
        assert numbers == sorted(set(numbers))
