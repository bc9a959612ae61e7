"""Bridges that vanish with a job in their hands, again and again: the job ends, and an outage ends none."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.queue import Json, QueueWorld, eventually, start_queue
from support.servers import Database, execute
from support.tokens import Issuer


@pytest.fixture
async def restless(
    database: Database, redis_url: str, issuer: Issuer, auth_url: str, tmp_path: Path
) -> AsyncIterator[QueueWorld]:
    """A service whose printers take what they gave back at once."""
    async with (
        start_queue(database, issuer, auth_url, tmp_path, redis_url=redis_url, fault_rest_s=0) as url,
        httpx.AsyncClient(base_url=url, timeout=20) as http,
    ):
        yield QueueWorld(http, issuer, tmp_path)


async def vanish(world: QueueWorld, printer: str, *, times: int) -> None:
    """Its bridge loses its journal with a job in its hands."""
    for _ in range(times):
        await world.report(await world.claimed(printer), "released", reason="journal_lost")


async def leases_run_out(world: QueueWorld, database: Database, job: str) -> Json:
    """Whatever is claimed is taken back; the job then."""
    await execute(database.url, "UPDATE queue.attempt SET lease_expires_at = now() WHERE state = 'claimed'")

    async def taken_back() -> Json | None:
        now = await world.job_now(job)
        return now if now["state"] != "active" else None

    return await eventually(taken_back)


class TestVanishing:
    async def test_it_ends_the_job_when_it_happens_again_and_again(
        self, restless: QueueWorld, database: Database
    ) -> None:
        printer, job = await restless.printer(), await restless.job()
        await vanish(restless, printer, times=4)
        assert (await restless.job_now(job))["state"] == "queued"
        await restless.claimed(printer)
        now = await leases_run_out(restless, database, job)
        assert (now["state"], now["reason"], now["detail"]) == ("failed", "lease_expired", "The bridge went silent.")
        assert await restless.claim(printer) is None

    async def test_an_outage_of_all_printers_ends_nothing(self, restless: QueueWorld, database: Database) -> None:
        job = await restless.job(copies=6)
        printers = [await restless.printer(f"P{number}") for number in range(6)]
        for _ in range(2):
            for printer in printers:
                await restless.claimed(printer)
            assert (await leases_run_out(restless, database, job))["state"] == "queued"

    async def test_a_printed_copy_ends_the_row(self, restless: QueueWorld) -> None:
        printer, job = await restless.printer(), await restless.job(copies=2)
        await vanish(restless, printer, times=4)
        attempt = await restless.printing(printer)
        await restless.report(attempt, "completed")
        await restless.bed_cleared(printer, attempt)
        await vanish(restless, printer, times=4)
        assert (await restless.job_now(job))["state"] == "queued"
        await vanish(restless, printer, times=1)
        assert (await restless.job_now(job))["reason"] == "journal_lost"

    async def test_the_printer_takes_another_job_first(self, world: QueueWorld) -> None:
        """A file that brings a bridge down does not keep every other one from its printer."""
        printer, _deadly, harmless = await world.printer(), await world.job(), await world.job()
        await vanish(world, printer, times=1)
        assert (await world.claimed(printer))["job_id"] == harmless
