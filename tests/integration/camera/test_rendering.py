"""Videos of what was recorded: of whole prints, within their bounds, whatever ffmpeg does."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import imageio_ffmpeg
import pytest

from fluxprint_camera.recording import ffmpeg
from fluxprint_camera.recording.ffmpeg import Film, Mounting, RenderFailed, fitting, render
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.recording import Place
from fluxprint_camera.recording.renderer import Renderer
from fluxprint_common.ids import show
from fluxprint_local.jpeg import encode, numbered_picture
from support.queue import eventually
from support.studio import WITHIN_S, Json, Studio, finished


class TestRenderer:
    async def test_takes_organisations_in_turn(self, studio: Studio) -> None:
        async with studio.running():
            state = studio.app.state
            await state.loops.stop("renderer")
            place = Place(state.hub, state.recordings, state.database, state.settings)
            renderer = Renderer(place, state.recorder)
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

    async def test_keeps_a_video_that_is_cut_where_one_of_less_quality_cannot_be_made(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        program = tmp_path / "fails-when-squeezed"
        squeezed = 'case "$*" in *-maxrate*) for video; do :; done; : > "$video"; exit 1;; esac'
        program.write_text(f'#!/bin/sh\n{squeezed}\nexec {imageio_ffmpeg.get_ffmpeg_exe()} "$@"\n')
        program.chmod(0o755)
        ready, video = await self.rendered(studio, monkeypatch, ffmpeg=str(program))
        assert (ready["state"], ready["problem"]) == ("ready", "video_cut")
        assert 0 < ready["frames"] < 60
        assert ready["size_bytes"] == len(video) >= self.MAX_BYTES

    @pytest.mark.parametrize(("size", "problem"), [(1000, None), (300_000, "video_cut")])
    async def test_names_one_that_is_cut_though_the_service_died_before_it_could(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch, size: int, problem: str | None
    ) -> None:
        async with self.rendering(studio, monkeypatch) as (place, timelapse):
            place.store.video(timelapse).write_bytes(bytes(size))
            ready = await self.done(studio, timelapse)
            assert (ready["state"], ready["problem"], ready["frames"]) == ("ready", problem, 60)

    MAX_BYTES = 300_000

    @asynccontextmanager
    async def rendering(
        self, studio: Studio, monkeypatch: pytest.MonkeyPatch, **settings: object
    ) -> AsyncIterator[tuple[Place, UUID]]:
        """A timelapse of 60 frames that is rendered by the first who looks at it."""
        async with studio.running(**settings):
            state = studio.app.state
            monkeypatch.setitem(state.settings.__dict__, "render_max_bytes", self.MAX_BYTES)
            await studio.add_camera()
            await state.loops.stop("renderer")
            place = Place(state.hub, state.recordings, state.database, state.settings)
            timelapse = await finished(place, studio, size_bytes=0, state="rendering", frames=60)
            yield place, timelapse

    async def done(self, studio: Studio, timelapse: UUID) -> Json:
        """Have it rendered."""
        state = studio.app.state
        place = Place(state.hub, state.recordings, state.database, state.settings)
        state.loops.start("renderer", Renderer(place, state.recorder).run, critical=False)

        async def over() -> Json | None:
            found = await studio.get(f"/timelapses/{show('timelapse', timelapse)}")
            return found if found["state"] != "rendering" else None

        return await eventually(over, within_s=WITHIN_S, every_s=0.1)

    async def rendered(self, studio: Studio, monkeypatch: pytest.MonkeyPatch, **settings: object) -> tuple[Json, bytes]:
        """The timelapse of 60 pictures of noise, which take a multiple of that at the quality that videos have."""
        noise = random.Random(1)
        async with self.rendering(studio, monkeypatch, **settings) as (place, timelapse):
            place.store.video(timelapse).unlink()
            for number in range(1, 61):
                grid = [[noise.randrange(256) for _ in range(80)] for _ in range(60)]
                await place.store.add_frame(timelapse, number, encode(grid))
            ready = await self.done(studio, timelapse)
            return ready, place.store.video(timelapse).read_bytes()


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
