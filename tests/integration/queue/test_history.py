"""What a farm does costs the same after years: nothing reads what has ended, whatever PostgreSQL plans for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from fluxprint_common.ids import new_id, show
from support import servers
from support.queue import QueueWorld, start_queue
from support.tokens import Issuer
from tools.bench import history
from tools.bench.history import Farm

FINISHED = 6_000
WAITING = 50
#: What all of it together reads of a table, or through an index; a single look at all that has ended is more.
FEW_ROWS = FINISHED // 4

_ROWS_READ = """
    SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY ($1)
    UNION ALL SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname = ANY ($1)
"""
_BIG_TABLES = ["job", "attempt", "attempt_report", "command", "event"]


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def old_farm(
    request: pytest.FixtureRequest, database: servers.Database, issuer: Issuer
) -> AsyncIterator[tuple[Farm, asyncpg.Connection]]:
    """A farm with a history, and a connection as the database's owner."""
    async with servers.connected(database.url) as owner:
        farm = Farm(
            organisation=new_id(), user=new_id(), bridge=new_id(), file=new_id(), printers=[new_id() for _ in range(5)]
        )
        await history.open_farm(owner, farm)
        await history.finish_jobs(owner, farm, FINISHED)
        await history.queue_jobs(owner, farm, WAITING)
        await history.give_back(owner, farm, FINISHED, printer=farm.printers[-1])
        await owner.execute("ANALYZE")
        await owner.execute("SELECT pg_stat_force_next_flush()")
        await owner.execute(f"ALTER DATABASE {database.name} SET plan_cache_mode = {request.param}")
        yield farm, owner


class TestHistory:
    async def test_nothing_reads_what_has_ended(
        self,
        old_farm: tuple[Farm, asyncpg.Connection],
        database: servers.Database,
        redis_url: str,
        issuer: Issuer,
        auth_url: str,
        tmp_path: Path,
    ) -> None:
        farm, owner = old_farm
        before = await rows_read(owner)
        async with (
            start_queue(database, issuer, auth_url, tmp_path, redis_url=redis_url) as url,
            httpx.AsyncClient(base_url=url, timeout=20) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            world.organisation, world.user, world.bridge = farm.organisation, farm.user, farm.bridge
            await print_one(world, farm)
            await cancel_one(world, farm)
            await look_around(world, farm)
        # The service has gone, and its connections have told what they read; its chores ran when it started.
        after = await rows_read(owner)
        read = {name: after[name] - before[name] for name in after if after[name] > before[name]}
        assert max(read.values()) < FEW_ROWS, read


async def rows_read(owner: asyncpg.Connection) -> dict[str, int]:
    """How many rows were read so far, by table (in its own order) and by index."""
    return dict(await owner.fetch(_ROWS_READ, _BIG_TABLES))


async def print_one(world: QueueWorld, farm: Farm) -> None:
    printer = show("printer", farm.printers[0])
    assert (await world.call("GET", f"/printers/{printer}/next")).status_code == 200
    attempt = await world.claimed(printer)
    assert (await world.claim(printer)) is not None
    attempt = await world.claimed(printer)
    await world.call("POST", f"/attempts/{attempt['id']}/lease", json={"fence": attempt["fence"]}, expect=200)
    await world.permit(attempt)
    for kind in ("started", "paused", "resumed", "completed"):
        await world.call("GET", f"/printers/{printer}/commands", expect=200)
        assert (await world.report(attempt, kind)).status_code == 200
    assert (await world.bed_cleared(printer, attempt)).status_code == 200
    assert await world.claim(printer) is not None


async def cancel_one(world: QueueWorld, farm: Farm) -> None:
    printer = show("printer", farm.printers[1])
    attempt = await world.printing(printer)
    await world.send("POST", f"/jobs/{attempt['job_id']}/cancel", expect=200)
    await world.call("GET", f"/printers/{printer}/commands", expect=200)
    assert (await world.report(attempt, "cancelled")).status_code == 200
    await world.call("POST", f"/printers/{printer}/foreign-print", json={"file_name": "x.gcode"}, expect=204)


async def look_around(world: QueueWorld, farm: Farm) -> None:
    for state in ("queued", "active", "unknown"):
        await world.send("GET", f"/jobs?state={state}", expect=200)
    await world.send("GET", "/jobs?state=active&state=cancelling&limit=5", expect=200)
    newest = (await world.send("GET", "/jobs?limit=1", expect=200)).json()["items"][0]
    await world.send("GET", f"/jobs/{newest['id']}/attempts", expect=200)
    await world.send("GET", "/printers", expect=200)
    await world.send("GET", "/events?limit=5", expect=200)
    await world.send("DELETE", f"/files/{show('file', farm.file)}", expect=409)
    await world.send("DELETE", f"/printers/{show('printer', farm.printers[4])}", expect=204)
