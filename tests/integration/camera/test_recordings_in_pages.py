"""Recordings and pictures in a page: by view token, for video and img, as long as the session lasts."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from fluxprint_camera.recording import files
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_common.revocations import Revocation
from support import browser
from support.queue import eventually
from support.studio import WITHIN_S, Studio
from support.tokens import bearer

LONGER_THAN_BUFFERS = 256 * 1024 * 1024


class TestInAPage:
    """`<video>` and `<img>` can send no header: a view token of the camera opens what was kept of it."""

    async def test_a_view_token_opens_what_its_camera_recorded_and_a_browser_plays_it(
        self, filmed: Studio, tmp_path: Path
    ) -> None:
        print_ = filmed.starts()
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 4)
        filmed.ends(print_)
        ready = await filmed.timelapse(print_, "ready")
        [start, end] = await filmed.pictures(print_)
        base = f"{filmed.url}/api/v1/cameras"
        images = [f"{filmed.url}{picture['image_path']}" for picture in (start, end)]
        paths = [f"{base}/timelapses/{ready['id']}/video", *images]
        second = replace(filmed, camera=new_id())
        await second.add_camera("top")
        async with httpx.AsyncClient() as page:
            token = await view_token(filmed)
            other, share = await view_token(second), await share_of(filmed)
            live = f"{base}/{show('camera', filmed.camera)}/snapshot"
            assert [(await page.get(live, params=by)).status_code for by in (token, share, other)] == [200, 200, 404]
            for opened_by, status in ((token, 200), (other, 404), (share, 401), ({}, 401), ({"token": "x"}, 401)):
                assert [(await page.get(path, params=opened_by)).status_code for path in paths] == [status] * 3
            for path in (f"{base}/timelapses", f"{base}/pictures", f"{base}/timelapses/{ready['id']}"):
                assert (await page.get(path, params=token)).status_code == 401
        if browser.chromium() is not None:
            video, *stills = [f"{path}?token={token['token']}" for path in paths]
            async with browser.page(tmp_path, {"video": video, "stills": stills}) as seen:
                played = await browser.next_of(seen)
            assert played["stills"] == [[320, 128]] * 2
            assert (played["video"]["width"], played["video"]["height"]) == (320, 128)
            assert played["video"]["duration"] == pytest.approx(ready["duration_s"], abs=0.1)

    async def test_is_cut_off_when_the_session_ends_and_when_nobody_takes_it(
        self, filmed: Studio, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        print_ = filmed.starts()
        await filmed.frames_on_disk(await filmed.timelapse(print_, "recording"), 1)
        filmed.ends(print_)
        ready = await filmed.timelapse(print_, "ready")
        [video] = (filmed.folder / "videos").rglob(f"{ready['id'].partition('_')[2]}.mp4")
        os.truncate(video, LONGER_THAN_BUFFERS)
        session = new_id()
        token = await view_token(filmed, session=session)
        path = f"{filmed.url}/api/v1/cameras/timelapses/{ready['id']}/video"
        async with httpx.AsyncClient() as page:
            async with page.stream("GET", path, params=token) as answer:
                assert answer.headers["content-length"] == str(LONGER_THAN_BUFFERS)
                await anext(chunks := answer.aiter_raw())
                filmed.app.state.revocations.add(Revocation(session, None))
                with pytest.raises(httpx.TransportError):
                    await to_the_end(chunks)
            assert (await page.get(path, params=token)).status_code == 401
            token, downloads = await view_token(filmed), filmed.app.state.downloads
            with monkeypatch.context() as crowded:
                crowded.setattr(downloads, "_of_person", 0)
                assert (await page.get(path, params=token)).json()["code"] == "too_many_viewers"
            monkeypatch.setattr(files, "STUCK_S", 0.2)
            async with page.stream("GET", path, params=token) as answer:
                await anext(chunks := answer.aiter_raw())

                async def let_go() -> bool:
                    return not downloads._taken

                await eventually(let_go, within_s=WITHIN_S)
                with pytest.raises(httpx.TransportError):
                    await to_the_end(chunks)


async def to_the_end(chunks: AsyncIterator[bytes]) -> None:
    async with asyncio.timeout(WITHIN_S):
        async for _chunk in chunks:
            pass


async def view_token(studio: Studio, *, session: UUID | None = None) -> dict[str, str]:
    """The query that opens a camera's stream and what was kept of it."""
    user = studio.issuer.user_token(organisation=studio.organisation, role=Role.VIEWER, session=session or new_id())
    async with studio.client() as client:
        made = await client.post(f"/{show('camera', studio.camera)}/view-tokens", headers=bearer(user))
    return {"token": made.json()["token"]}


async def share_of(studio: Studio) -> dict[str, str]:
    """The same of a share, which opens what is live."""
    async with studio.client() as client:
        body = {"label": "Customer", "expires_in_s": 600}
        made = await client.post(f"/{show('camera', studio.camera)}/shares", json=body)
    return {"token": made.json()["token"]}
