"""Watching through the real Traefik with the route file of all deployments: nothing on the way holds a picture back."""

from collections.abc import AsyncIterator

import httpx
import pytest

from fluxprint_local.ports import free_port
from fluxprint_local.traefik import Traefik
from support import servers
from support.camera import jpeg
from support.camera_service import Organisation, Service
from support.queue import eventually
from support.tokens import Issuer, bearer
from support.uplink import stream
from support.view import view

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture(scope="module", params=["service", "plain_service"], ids=["fast", "plain"])
def watched(request: pytest.FixtureRequest) -> Service:
    """A service with the fast path, and again one without."""
    service: Service = request.getfixturevalue(request.param)
    return service


@pytest.fixture
def organisation(watched: Service, issuer: Issuer) -> Organisation:
    return Organisation(watched, issuer)


@pytest.fixture(scope="module")
async def front(watched: Service, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a Traefik before the service."""
    traefik = Traefik(
        host="127.0.0.1",
        port=free_port(),
        internal_port=free_port(),
        services={"auth": NOWHERE, "queue": NOWHERE, "camera": watched.url},
    )
    async with servers.started(traefik.process(), tmp_path_factory.mktemp("traefik") / "traefik.log"):
        yield f"http://127.0.0.1:{traefik.port}"


@pytest.fixture
async def outside(front: str, organisation: Organisation) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who watches from outside."""
    async with httpx.AsyncClient(base_url=front, headers=bearer(organisation.user_token()), timeout=30) as client:
        yield client


class TestTraefik:
    async def test_passes_each_picture_on_before_there_is_another(
        self, organisation: Organisation, outside: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            await bridge.send(1, size=100)
            async with stream(outside, f"/api/v1/cameras/{bridge.camera_id}/stream") as pictures:
                assert await pictures.next() == jpeg(1, size=100)
                for number, size in enumerate((100, 5_000, 50_000, 250_000, 100), start=2):
                    await bridge.send(number, size=size)
                    assert await pictures.next() == jpeg(number, size=size)

    async def test_tells_the_relay_when_a_viewer_goes(
        self, organisation: Organisation, outside: httpx.AsyncClient
    ) -> None:
        async with organisation.camera() as bridge:
            camera = f"/api/v1/cameras/{bridge.camera_id}"

            async def has(count: int) -> bool:
                return int((await outside.get(camera)).json()["viewers"]) == count

            async with stream(outside, f"{camera}/stream"):
                await eventually(lambda: has(1))
            await eventually(lambda: has(0))

    async def test_passes_websockets_on_frame_by_frame(self, organisation: Organisation, front: str) -> None:
        async with organisation.camera() as bridge, view(front, organisation.user_token()) as viewer:
            await viewer.watch(bridge.camera_id, window=1)
            for number, size in enumerate((100, 50_000, 250_000, 100), start=1):
                await bridge.send(number, size=size)
                assert (await viewer.frame()).picture == jpeg(number, size=size)
                await viewer.ack(bridge.camera_id, number)
