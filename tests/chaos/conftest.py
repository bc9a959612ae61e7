"""One system with one printer and one bridge for the harness's own tests."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from tools.chaos.people import People
from tools.chaos.run import Runner
from tools.chaos.system import System, running


@dataclass(frozen=True)
class Bench:
    """What a scenario works with."""

    system: System
    people: People
    runner: Runner


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    folder = tmp_path_factory.mktemp("chaos") / "data"
    async with running(folder, QUEUE_LEASE_S="60", QUEUE_PERMIT_VALID_S="10") as system, People(system) as people:
        await system.add_octoprints(1)
        await people.add_bridge(system, [0], redis=False)
        runner = Runner(system, people)
        await runner.ready()
        yield Bench(system, people, runner)
