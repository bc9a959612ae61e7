"""Five hundred viewers: who reads sees every picture, whoever else hardly does; and memory stays small."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from fluxprint_local.postgres import Cluster
from support.camera import jpeg
from support.camera_service import Organisation, Service, running
from support.tokens import Issuer
from support.uplink import stream, until_viewers

VIEWERS = 500
AT_A_CLIENT = 50
MAX_KB_PER_VIEWER = 64


@pytest.fixture
async def roomy(migrated_cluster: Cluster, issuer: Issuer, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    """A service with places for everybody."""
    limits = {f"CAMERA_MAX_VIEWERS_PER_{whom}": "1000" for whom in ("CAMERA", "PERSON", "ORGANISATION")}
    settings = {**limits, "CAMERA_MAX_FPS": "60", "CAMERA_IDLE_INTERVAL_S": "60", "CAMERA_STUCK_AFTER_S": "120"}
    async with running(migrated_cluster, tmp_path, issuer, redis_url, settings) as service:
        yield service


def pss_kb(service: Service) -> float:
    return float(psutil.Process(service.process.pid).memory_full_info().pss / 1000)


async def crowd(service: Service, path: str, token: str) -> AsyncIterator[socket.socket]:
    """Viewers that have asked for a stream, with small buffers, as sockets that nobody reads."""
    address = httpx.URL(service.url)
    for _ in range(VIEWERS):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
        request = f"GET {path} HTTP/1.1\r\nHost: camera\r\nAuthorization: Bearer {token}\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(sock, request.encode())
        yield sock


class TestFiveHundred:
    async def test_who_read_see_every_picture_once_and_in_order(self, roomy: Service, issuer: Issuer) -> None:
        organisation = Organisation(roomy, issuer)
        async with AsyncExitStack() as stack:
            bridge = await stack.enter_async_context(organisation.camera())
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"
            clients = [await stack.enter_async_context(organisation.client()) for _ in range(VIEWERS // AT_A_CLIENT)]
            await bridge.send(1)
            all_pictures = [
                await stack.enter_async_context(stream(client, path)) for client in clients for _ in range(AT_A_CLIENT)
            ]
            for number in range(1, 11):
                shown = await asyncio.gather(*(pictures.next() for pictures in all_pictures))
                assert set(shown) == {jpeg(number)}
                await bridge.send(number + 1)

    async def test_who_hardly_read_take_nothing_from_who_do(self, roomy: Service, issuer: Issuer) -> None:
        organisation = Organisation(roomy, issuer)
        async with organisation.camera() as bridge, organisation.client() as client:
            path = f"/api/v1/cameras/{bridge.camera_id}/stream"

            async with stream(client, path) as pictures:
                await bridge.send(1, size=45_000)
                assert await pictures.next() == jpeg(1, size=45_000)
                before = pss_kb(roomy)
                idle = [sock async for sock in crowd(roomy, path, organisation.user_token())]
                await until_viewers(client, bridge.camera_id, VIEWERS + 1, timeout_s=60)
                for number in range(2, 12):
                    await bridge.send(number, size=45_000)
                    assert await pictures.next() == jpeg(number, size=45_000)
                    for sock in idle[::2]:
                        sock.recv(1)  # a byte now and then
                assert (pss_kb(roomy) - before) / VIEWERS < MAX_KB_PER_VIEWER
                for sock in idle:
                    sock.close()
                await until_viewers(client, bridge.camera_id, 1, timeout_s=60)
                await bridge.send(12)
                assert await pictures.next() == jpeg(12)
