"""The real camera service on real PostgreSQL and Redis."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import httpx
import pytest

from fluxprint_local.postgres import Cluster
from support import bell as bells
from support import tokens
from support.camera_service import NOT_ASKED, Organisation, Service, running
from support.databases import new_database
from support.servers import Database
from support.studio import QueueOfPrints, Studio
from support.tokens import Issuer
from support.watching import At, Workshop, workshop_at

issuer = tokens.issuer
bell = bells.bell


UNHURRIED = {
    **NOT_ASKED,
    "CAMERA_LINGER_S": "0.2",
    "CAMERA_MAX_FPS": "60",
    "CAMERA_IDLE_INTERVAL_S": "30",
    "CAMERA_STUCK_AFTER_S": "30",
    "CAMERA_OFFLINE_GRACE_S": "30",
    "CAMERA_MAX_FRAME_BYTES": "300000",
    "CAMERA_MAX_CAMERAS_PER_ORGANISATION": "2",
    "CAMERA_MAX_VIEWERS_PER_CAMERA": "3",
    "CAMERA_MAX_VIEWERS_PER_ORGANISATION": "4",
    "CAMERA_MAX_SHARES_PER_CAMERA": "2",
    "CAMERA_LIMIT_SMALL_PICTURES": "6/hour",
}


HASTY = {
    "CAMERA_IDLE_INTERVAL_S": "0.5",
    "CAMERA_IDLE_MARGIN_S": "1.0",
    "CAMERA_STUCK_AFTER_S": "0.5",
    "CAMERA_OFFLINE_GRACE_S": "0.3",
}
PLAIN = {"CAMERA_FAST_PATH": "off"}

Opened = Callable[[dict[str, str]], AbstractAsyncContextManager[Service]]


@pytest.fixture(scope="session")
def opened(
    migrated_cluster: Cluster, issuer: Issuer, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Opened:
    """A service with these settings, a folder and a database of its own."""
    return lambda settings: running(migrated_cluster, tmp_path_factory.mktemp("camera"), issuer, redis_url, settings)


@pytest.fixture(scope="session")
async def service(opened: Opened) -> AsyncIterator[Service]:
    """A service with time, and few places."""
    async with opened(UNHURRIED) as service:
        yield service


@pytest.fixture(scope="session")
async def plain_service(opened: Opened) -> AsyncIterator[Service]:
    """The same without the fast path."""
    async with opened(UNHURRIED | PLAIN) as service:
        yield service


@pytest.fixture(scope="session")
async def asking_service(opened: Opened) -> AsyncIterator[Service]:
    """The same, but it asks again and again whether what is open may be."""
    async with opened(UNHURRIED | {"CAMERA_GRANT_CHECK_S": "0.3"}) as service:
        yield service


@pytest.fixture(scope="session")
async def hasty_service(opened: Opened) -> AsyncIterator[Service]:
    """A service whose deadlines are short: tests that send nothing by themselves see them pass."""
    async with opened(HASTY) as service:
        yield service


@pytest.fixture(scope="session")
async def plain_hasty_service(opened: Opened) -> AsyncIterator[Service]:
    """The same without the fast path."""
    async with opened(HASTY | PLAIN) as service:
        yield service


@pytest.fixture
def organisation(service: Service, issuer: Issuer) -> Organisation:
    return Organisation(service, issuer)


@pytest.fixture(params=["service", "plain_service"], ids=["fast", "plain"])
def on_both_paths(request: pytest.FixtureRequest, issuer: Issuer) -> Organisation:
    """An organisation at a service with the fast path, and again at one without."""
    return Organisation(request.getfixturevalue(request.param), issuer)


@pytest.fixture(params=["hasty_service", "plain_hasty_service"], ids=["fast", "plain"])
def hasty_on_both_paths(request: pytest.FixtureRequest, issuer: Issuer) -> Organisation:
    """The same at services whose deadlines are short."""
    return Organisation(request.getfixturevalue(request.param), issuer)


@pytest.fixture
def asked_about(asking_service: Service, issuer: Issuer) -> Organisation:
    """An organisation at the service that asks again and again."""
    return Organisation(asking_service, issuer)


@pytest.fixture
def other(service: Service, issuer: Issuer) -> Organisation:
    """Another organisation at the same service."""
    return Organisation(service, issuer)


@pytest.fixture
def hasty(hasty_service: Service, issuer: Issuer) -> Organisation:
    """An organisation at the service whose deadlines are short."""
    return Organisation(hasty_service, issuer)


@pytest.fixture
async def viewer(organisation: Organisation) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who may watch."""
    async with organisation.client() as client:
        yield client


@pytest.fixture
def studio(database: Database, issuer: Issuer, tmp_path: Path) -> Studio:
    return Studio(database, issuer, tmp_path / "data", QueueOfPrints(), {})


@pytest.fixture(scope="session")
async def shared_studio(
    migrated_cluster: Cluster, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Studio]:
    """A running service for all who do not end it."""
    async with new_database(migrated_cluster) as database:
        studio = Studio(database, issuer, tmp_path_factory.mktemp("recordings"), QueueOfPrints(), {})
        async with studio.running():
            yield studio


@pytest.fixture
async def filmed(shared_studio: Studio) -> AsyncIterator[Studio]:
    """An organisation of one's own there, whose camera sends pictures."""
    studio = shared_studio.neighbour()
    await studio.add_camera()
    async with studio.filming():
        yield studio


@pytest.fixture(scope="session")
async def watched_database(migrated_cluster: Cluster) -> AsyncIterator[Database]:
    async with new_database(migrated_cluster) as database:
        yield database


@pytest.fixture
async def workshop(watched_database: Database, tmp_path: Path) -> AsyncIterator[Workshop]:
    """The only workshop in its database."""
    async with workshop_at(watched_database, tmp_path) as workshop:
        yield workshop
        await workshop.change("DELETE FROM camera.watch_policy")
        await workshop.change("DELETE FROM camera.camera")


@pytest.fixture
async def at(workshop: Workshop) -> At:
    replica, camera = workshop.replica(), await workshop.camera()
    at = At(workshop, replica, camera, replica.connect(camera))
    await replica.step()
    return at
