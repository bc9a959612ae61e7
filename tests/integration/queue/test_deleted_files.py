"""Deleted files keep their rows, and cost nobody anything."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import httpx
import pytest

from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role
from fluxprint_queue.files.slicing import Slicing
from support import servers
from support.queue import QueueWorld, start_queue
from support.tokens import Issuer

DELETED = 6_000
KEPT = 20
#: What all that is asked for together reads; a single look past the deleted ones is more.
FEW_ROWS = DELETED // 4

_FILES = """
    INSERT INTO queue.file (id, organisation_id, name, extension, sha256, size_bytes, slicing, uploaded_by, deleted_at)
    SELECT gen_random_uuid(), $1, 'part.gcode', 'gcode', repeat('0', 64), 1000, $5, $2,
           CASE WHEN n > $4 THEN now() END
    FROM generate_series(1, $3::int + $4) n
"""
_ROWS_READ = """
    SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'file'
    UNION ALL SELECT indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE relname = 'file'
"""
NOTHING_SAID = json.dumps(dict.fromkeys(Slicing.model_fields))
ORGANISATION, UPLOADER = new_id(), new_id()


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def old_farm(request: pytest.FixtureRequest, database: servers.Database) -> AsyncIterator[asyncpg.Connection]:
    """A connection as the owner of a database in which nearly all files are deleted."""
    async with servers.connected(database.url) as owner:
        await owner.execute("INSERT INTO queue.blob (sha256, size_bytes) VALUES (repeat('0', 64), 1000)")
        await owner.execute(_FILES, ORGANISATION, UPLOADER, DELETED, KEPT, NOTHING_SAID)
        await owner.execute("VACUUM ANALYZE")
        await owner.execute(f"ALTER DATABASE {database.name} SET plan_cache_mode = {request.param}")
        await owner.execute("SELECT pg_stat_force_next_flush()")
        yield owner


class TestDeletedFiles:
    async def test_are_not_read_past(
        self,
        old_farm: asyncpg.Connection,
        database: servers.Database,
        issuer: Issuer,
        auth_url: str,
        tmp_path: Path,
    ) -> None:
        before = dict(await old_farm.fetch(_ROWS_READ))
        async with (
            start_queue(database, issuer, auth_url, tmp_path) as url,
            httpx.AsyncClient(base_url=url, timeout=20) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            world.organisation, world.user = ORGANISATION, UPLOADER
            for role in (Role.EDITOR, Role.CLIENT):
                page = (await world.send("GET", "/files", role=role, params={"limit": 50}, expect=200)).json()
                assert len(page["items"]) == KEPT
            await world.file()  # an upload adds up what is kept
        # The service has gone, and its connections have told what they read.
        after = dict(await old_farm.fetch(_ROWS_READ))
        read = {name: after[name] - before[name] for name in after if after[name] > before[name]}
        assert max(read.values()) < FEW_ROWS, read
