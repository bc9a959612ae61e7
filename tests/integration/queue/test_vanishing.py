"""Bridges that vanish with a job in their hands, again and again: it costs no job, and no printer its time."""

import pytest

from support.queue import Json, QueueWorld
from support.servers import Database, execute


async def vanish(world: QueueWorld, attempt: Json) -> None:
    """Its bridge loses its journal."""
    answer = await world.report(attempt, "released", reason="journal_lost")
    assert answer.status_code == 200, answer.text


async def wait(database: Database, seconds: int) -> None:
    """Let so much time go by."""
    await execute(database.url, "UPDATE queue.attempt SET ended_at = ended_at - make_interval(secs => $1)", seconds)


class TestVanishing:
    async def test_the_printer_takes_another_job_first(self, world: QueueWorld) -> None:
        """A file that brings a bridge down does not keep every other one from its printer."""
        printer, _deadly, harmless = await world.printer(), await world.job(), await world.job()
        await vanish(world, await world.claimed(printer))
        assert (await world.claimed(printer))["job_id"] == harmless

    async def test_it_leaves_the_job_alone_for_longer_each_time_and_others_take_it(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        world = own_world
        sick, healthy, job = await world.printer("sick"), await world.printer("healthy"), await world.job()
        for rest_s in (60, 120, 240, 480, 960, 1920, 3600, 3600):
            await vanish(world, await world.claimed(sick))
            await wait(database, rest_s - 10)
            assert await world.claim(sick) is None, rest_s
            await wait(database, 10)
        assert (await world.job_now(job))["state"] == "queued"
        await vanish(world, await world.claimed(sick))
        assert (await world.claimed(healthy))["job_id"] == job

    @pytest.mark.parametrize("reason", ["journal_lost", "lease_expired"])
    async def test_the_day_after_it_is_forgiven(self, own_world: QueueWorld, database: Database, reason: str) -> None:
        world, printer = own_world, await own_world.printer()
        await world.job()
        for _ in range(4):
            await world.report(await world.claimed(printer), "released", reason=reason)
            await wait(database, 3600)
        await wait(database, 86_400)
        await world.report(await world.claimed(printer), "released", reason=reason)
        await wait(database, 60)
        assert await world.claim(printer) is not None
