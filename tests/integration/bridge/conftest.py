"""One OctoPrint for all tests of the bridge; one cloud and one bridge for the tests of a file, tidied before each."""

from collections.abc import AsyncIterator

import pytest

from fluxprint_local.forks import ForkServer
from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.fake_cloud_routes import running_cloud
from support.octoprint import ready_again, running_octoprint


@pytest.fixture(scope="session", autouse=True)
async def forks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[None]:
    """Bridges start quickly."""
    BridgeProcess.forks = ForkServer(["fluxprint_bridge"], tmp_path_factory.mktemp("forks") / "log")
    yield
    await BridgeProcess.forks.stop()
    BridgeProcess.forks = None


@pytest.fixture(scope="session")
async def shared_octoprint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OctoPrint]:
    async with running_octoprint(tmp_path_factory.mktemp("octoprint")) as octoprint:
        yield octoprint


@pytest.fixture(scope="module")
async def shared_cloud() -> AsyncIterator[FakeCloud]:
    async with running_cloud(FakeCloud()) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def watching() -> list[BridgeProcess]:
    """The shared bridge, while there is one."""
    return []


@pytest.fixture(scope="module")
async def shared_bridge(
    watching: list[BridgeProcess],
    shared_cloud: FakeCloud,
    shared_octoprint: OctoPrint,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[BridgeProcess]:
    folder = tmp_path_factory.mktemp("bridge")
    async with running_bridge(folder, cloud_url=shared_cloud.url, octoprint=shared_octoprint) as bridge:
        watching.append(bridge)
        yield bridge
        watching.remove(bridge)


@pytest.fixture
async def octoprint(shared_octoprint: OctoPrint) -> OctoPrint:
    """OctoPrint with an idle printer."""
    await ready_again(shared_octoprint)
    return shared_octoprint


@pytest.fixture
async def cloud(shared_cloud: FakeCloud, octoprint: OctoPrint) -> FakeCloud:
    """A cloud without work."""
    shared_cloud.reset()
    return shared_cloud


@pytest.fixture
async def own_cloud(watching: list[BridgeProcess]) -> AsyncIterator[FakeCloud]:
    """A cloud of this test, for a bridge of this test. The shared one would take its prints for somebody's."""
    for bridge in watching:
        await bridge.stop()
    async with running_cloud(FakeCloud()) as cloud:
        yield cloud


@pytest.fixture
async def bridge(shared_bridge: BridgeProcess, cloud: FakeCloud) -> BridgeProcess:
    """A bridge that is connected on both sides, with nothing to do."""
    await shared_bridge.run_on()
    await cloud.until(lambda: cloud.links and cloud.now.get("state") == "idle")
    await cloud.until_asked_for_work()
    cloud.reset()  # of what was told meanwhile
    shared_bridge.forget_log()
    return shared_bridge
