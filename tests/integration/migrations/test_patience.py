"""What a migration waits for, and what it does not: whoever holds nobody up may be waited for."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from fluxprint_local.postgres import Cluster
from support import servers

LOCK_TIMEOUT_S = 5.0

_WAITS = """
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
                   AND application_name = 'fluxprint-migrate' AND wait_event_type = 'Lock')
"""


@asynccontextmanager
async def migrated_to(cluster: Cluster, revision: str) -> AsyncIterator[servers.Database]:
    name = f"patience_{secrets.token_hex(6)}"
    await servers.execute(cluster.url(), f"CREATE DATABASE {name}")
    try:
        database = servers.Database(cluster, name)
        await servers.migrate(database.url, revision)
        yield database
    finally:
        await servers.execute(cluster.url(), f"DROP DATABASE {name} WITH (FORCE)")


async def until_it_waits(observer: asyncpg.Connection, upgrade: asyncio.Task[None]) -> None:
    async with asyncio.timeout(30):
        while not await observer.fetchval(_WAITS):
            assert not upgrade.done(), upgrade.exception()
            await asyncio.sleep(0.05)


async def goes_up_during_a_backup(cluster: Cluster, before: str, after: str, one_at_a_time: asyncio.Lock) -> None:
    await one_at_a_time.acquire()  # each sets the passwords of the server's roles
    async with (
        migrated_to(cluster, before) as database,
        servers.connected(database.url) as backup,
        servers.connected(database.url) as observer,
    ):
        async with backup.transaction(isolation="repeatable_read", readonly=True):  # as pg_dump does
            for table in ("file", "job", "attempt", "event"):
                await backup.fetch(f"SELECT FROM queue.{table}")
            upgrade = asyncio.create_task(servers.migrate(database.url, after))
            await until_it_waits(observer, upgrade)
            one_at_a_time.release()
            await asyncio.sleep(LOCK_TIMEOUT_S + 0.5)
            assert not upgrade.done(), upgrade.exception()
        await upgrade
        assert await observer.fetchval("SELECT version_num FROM public.alembic_version") == after
        assert not await observer.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid")


class TestPatience:
    async def test_indexes_wait_for_a_backup(self, postgres_cluster: Cluster) -> None:
        steps = (("0003", "0004"), ("0006", "0007"), ("0007", "0008"), ("0008", "0009"))
        one_at_a_time = asyncio.Lock()
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(goes_up_during_a_backup(postgres_cluster, *step, one_at_a_time))

    async def test_what_would_stop_the_traffic_gives_up_soon_after_an_index_as_well(
        self, postgres_cluster: Cluster
    ) -> None:
        async with migrated_to(postgres_cluster, "0003") as database, servers.connected(database.url) as reader:
            async with reader.transaction():
                await reader.execute("LOCK TABLE queue.attempt IN ACCESS SHARE MODE")  # as everybody who reads
                with pytest.raises(AssertionError, match="lock timeout"):
                    await servers.migrate(database.url, "0005")
            assert await reader.fetchval("SELECT version_num FROM public.alembic_version") == "0004"
