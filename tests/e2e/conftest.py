"""One system and one OctoPrint for all end-to-end tests; a workshop for each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluxprint_local.octoprint import OctoPrint
from support.octoprint import ready_again, running_octoprint
from support.system import System, Workshop, running_system


@pytest.fixture(scope="session")
async def system(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[System]:
    async with running_system(tmp_path_factory.mktemp("system") / "data") as system:
        yield system


@pytest.fixture(scope="session")
async def shared_octoprint(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OctoPrint]:
    async with running_octoprint(tmp_path_factory.mktemp("octoprint")) as octoprint:
        yield octoprint


@pytest.fixture
async def workshop(system: System, shared_octoprint: OctoPrint, tmp_path: Path) -> AsyncIterator[Workshop]:
    """A new organisation at an idle printer."""
    await ready_again(shared_octoprint)
    workshop = Workshop(system, shared_octoprint, tmp_path / "bridge")
    async with workshop.http:
        await workshop.open()
        yield workshop
