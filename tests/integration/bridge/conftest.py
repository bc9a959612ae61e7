"""One OctoPrint for all tests of the bridge; each test has a cloud, a bridge and a data folder of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud, running_cloud
from support.octoprint import ready_again, running_octoprint


@pytest.fixture(scope="session")
async def shared_octoprint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OctoPrint]:
    async with running_octoprint(tmp_path_factory.mktemp("octoprint")) as octoprint:
        yield octoprint


@pytest.fixture
async def octoprint(shared_octoprint: OctoPrint) -> OctoPrint:
    """OctoPrint with an idle printer."""
    await ready_again(shared_octoprint)
    return shared_octoprint


@pytest.fixture
async def cloud() -> AsyncIterator[FakeCloud]:
    async with running_cloud(FakeCloud()) as cloud:
        yield cloud


@pytest.fixture
async def bridge(cloud: FakeCloud, octoprint: OctoPrint, tmp_path: Path) -> AsyncIterator[BridgeProcess]:
    async with running_bridge(tmp_path, cloud_url=cloud.url, octoprint=octoprint) as bridge:
        yield bridge
