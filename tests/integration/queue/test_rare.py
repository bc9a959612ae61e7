"""What is rare in a long history is found without reading it, whatever PostgreSQL plans for it."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role
from support import servers
from support.queue import QueueWorld, start_queue
from support.tokens import Issuer
from tools.bench import history
from tools.bench.history import Farm

FINISHED = 6_000
#: What all that is asked for together reads, with the chores; a single look at the history is more.
FEW_ROWS = FINISHED // 4
#: Jobs that wait.
WAITING = 20

_ROWS_READ = """
    SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = ANY ($1)
    UNION ALL SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname = ANY ($1)
"""
#: Few failed and none was cancelled.
_RARE = """
    UPDATE queue.job SET state = 'completed'
    WHERE state = 'cancelled' OR (state = 'failed' AND substring(name FROM '[0-9]+')::int % 1000 <> 0)
"""
#: Twenty people have made them.
_PEOPLE = "UPDATE queue.job SET created_by = md5((substring(name FROM '[0-9]+')::int % 20)::text)::uuid"
#: With a neighbour it is the other way round: taken together it looks frequent.
_FREQUENT = (
    "UPDATE queue.job SET state = 'failed', organisation_id = $1 WHERE name LIKE 'Part %3'",
    "UPDATE queue.event SET type = 'printer.deleted', organisation_id = $1 WHERE sequence % 5 = 0",
)

Asked = dict[str, list[str]]

JOBS: list[Asked] = [
    {"state": ["failed"]},
    {"state": ["cancelled"]},
    {"state": ["failed", "active", "unknown"]},
    {"state": ["cancelled", "failed", "cancelled"]},
]
EVENTS: list[Asked] = [
    {"type": ["printer.deleted"]},
    {"type": ["printer.created", "command.created", "attempt.unknown"]},
]


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def old_farm(request: pytest.FixtureRequest, database: servers.Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of a database with a farm's history."""
    async with servers.connected(database.url) as owner:
        await history.open_farm(owner, FARM)
        await history.finish_jobs(owner, FARM, FINISHED)
        await history.queue_jobs(owner, FARM, WAITING)
        await owner.execute(_RARE)
        await owner.execute(_PEOPLE)
        for change in _FREQUENT:
            await owner.execute(change, NEIGHBOUR)
        await owner.execute("VACUUM ANALYZE")
        await owner.execute(f"ALTER DATABASE {database.name} SET plan_cache_mode = {request.param}")
        await owner.execute("SELECT pg_stat_force_next_flush()")
        yield owner


NEIGHBOUR = new_id()
FARM = Farm(organisation=new_id(), user=new_id(), bridge=new_id(), file=new_id(), printers=[new_id()])


async def rows_read(owner: asyncpg.Connection) -> dict[str, int]:
    return dict(await owner.fetch(_ROWS_READ, ["job", "event"]))


class TestRare:
    async def test_states_and_types_cost_what_is_found(
        self,
        old_farm: asyncpg.Connection,
        database: servers.Database,
        issuer: Issuer,
        auth_url: str,
        tmp_path: Path,
    ) -> None:
        before = await rows_read(old_farm)
        async with (
            start_queue(database, issuer, auth_url, tmp_path) as url,
            httpx.AsyncClient(base_url=url, timeout=20) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            world.organisation, world.user = FARM.organisation, FARM.user
            for jobs in JOBS:
                await world.send("GET", "/jobs", params=jobs, expect=200)
            for events in EVENTS:
                await world.send("GET", "/events", params=events, expect=200)
            world.user = new_id()  # a client sees only its own, and has none
            assert (await world.send("GET", "/jobs", role=Role.CLIENT, expect=200)).json()["items"] == []
        # The service has gone, and its connections have told what they read.
        after = await rows_read(old_farm)
        read = {name: after[name] - before[name] for name in after if after[name] > before[name]}
        assert max(read.values()) < FEW_ROWS, read


class TestSeveral:
    """Several states or types come in one order, page after page."""

    async def test_states(self, world: QueueWorld) -> None:
        cancelled = [await world.job() for _ in range(3)]
        for job in cancelled:
            await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        queued = [await world.job() for _ in range(3)]
        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            asked = {"state": ["queued", "cancelled", "queued"], "limit": 2, **cursor}
            page = (await world.send("GET", "/jobs", params=asked, expect=200)).json()
            found += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == [*reversed(queued), *reversed(cancelled)]
        assert await self.ids(world, "cancelled") == [*reversed(cancelled)]

    async def ids(self, world: QueueWorld, state: str) -> list[str]:
        items = (await world.send("GET", "/jobs", params={"state": state}, expect=200)).json()["items"]
        return [item["id"] for item in items]

    async def test_types(self, world: QueueWorld) -> None:
        for number in range(3):
            await world.job()
            await world.printer(f"Printer {number}")
        asked = {"type": ["printer.created", "job.created", "job.created"], "limit": 4}
        first = (await world.send("GET", "/events", params=asked, expect=200)).json()
        rest = (await world.send("GET", "/events", params={**asked, "after": first["next_after"]}, expect=200)).json()
        types = [item["type"] for item in [*first["items"], *rest["items"]]]
        assert types == ["job.created", "printer.created"] * 3
        assert len(first["items"]) == 4
