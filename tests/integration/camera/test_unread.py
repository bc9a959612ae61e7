"""Pictures and files that somebody asks for and does not read: what they hold, and for how long."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send

from fluxprint_camera.app import create_app
from fluxprint_camera.disk import Disk
from fluxprint_camera.recording import files
from fluxprint_camera.viewers import unread
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.transport import TransportInScope, transport_of
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.ids import new_id, show
from support.camera import frame, settings_of
from support.serving import serving
from support.tokens import Issuer, bearer
from support.trickle import trickle
from support.uplink import sleeper

MORE_THAN_THE_KERNEL_KEEPS = 8_000_000


@asynccontextmanager
async def camera(issuer: Issuer, **settings: object) -> AsyncIterator[tuple[FastAPI, str, str, str]]:
    """A service with a large picture: where that is, and a token that opens it."""
    app = create_app(settings_of(jwks_url=issuer.jwks_url, **settings))
    camera, organisation = new_id(), new_id()
    async with serving(app) as url:
        with app.state.hub.publishing(camera_id=camera, organisation_id=organisation, expires_in_s=600) as publication:
            publication.publish(frame(1, size=MORE_THAN_THE_KERNEL_KEEPS))
            path = f"/api/v1/cameras/{show('camera', camera)}/snapshot"
            yield app, url, path, issuer.user_token(organisation=organisation)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


class TestPicture:
    async def test_goes_with_its_connection(self, issuer: Issuer) -> None:
        async with (
            camera(issuer, stuck_after_s=0.5) as (app, url, path, token),
            sleeper(url, path, token) as asleep,
        ):
            await until(lambda: bool(app.state.downloads._taken))
            await until(lambda: not app.state.downloads._taken)
            assert await asleep.reads_to_the_end() < MORE_THAN_THE_KERNEL_KEEPS

    @pytest.mark.parametrize("fast_path", ["auto", "off"])
    async def test_goes_from_who_reads_ten_bytes_a_second(self, issuer: Issuer, fast_path: str) -> None:
        async with (
            camera(issuer, stuck_after_s=0.5, fast_path=fast_path) as (app, url, path, token),
            trickle(url, path, token) as slow,
        ):
            await until(lambda: not app.state.downloads._taken)
            assert 0 < slow.count < MORE_THAN_THE_KERNEL_KEEPS

    async def test_takes_a_place_and_waits_in_small_pieces(
        self, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        connections: list[asyncio.Transport] = []

        def seen(scope: Scope) -> asyncio.Transport:
            connections.append(transport_of(scope))
            return connections[-1]

        monkeypatch.setattr(unread, "transport_of", seen)
        async with (
            camera(issuer, stuck_after_s=120, max_viewers_per_person=1) as (app, url, path, token),
            httpx.AsyncClient(base_url=url, headers=bearer(token)) as client,
        ):
            async with sleeper(url, path, token):
                await until(lambda: bool(app.state.downloads._taken))
                assert 0 < connections[0].get_write_buffer_size() <= unread.PIECE_BYTES
                refused = await client.get(path)
                assert (refused.status_code, refused.json()["code"]) == (429, "too_many_viewers")
            await until(lambda: not app.state.downloads._taken)
            assert len((await client.get(path)).content) == MORE_THAN_THE_KERNEL_KEEPS


class TestKeptFile:
    async def test_goes_with_its_connection_though_only_its_end_is_left(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files, "STUCK_S", 0.5)
        path = tmp_path / "video.mp4"
        path.write_bytes(bytes(60_000))  # one piece, which is the last
        places = Places(of_person=1, of_organisation=1)
        grants = SimpleNamespace(watching=lambda *_: nullcontext())
        disk = Disk("tests")
        state = SimpleNamespace(state=SimpleNamespace(grants=grants, downloads=places, disk_of_downloads=disk))
        now = datetime.now(UTC)
        watcher = Watcher(new_id(), new_id(), new_id(), now, now + timedelta(hours=1))
        ended = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            transport_of(scope).get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            answer = files.KeptFile(Request({**scope, "app": state}), path, watcher, media_type="video/mp4")
            await answer(scope, receive, send)
            ended.set()

        async with serving(TransportInScope(app), lifespan=False) as url, sleeper(url, "/", "none") as asleep:
            await until(ended.is_set)
            assert await asleep.reads_to_the_end() < 60_000
        disk.close()
