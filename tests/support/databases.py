"""Migrated databases for tests: made from a template, and emptied and lent again while nothing but rows changed.

Making and dropping one costs PostgreSQL ten times as much as emptying it, and most of what a test costs.
"""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fluxprint_local.postgres import OWNER, Cluster
from support.servers import Database, connected, execute, migrate

_TEMPLATE = "migrated"

#: Names of databases in which nothing is, by the port of their server.
_empty: dict[int, list[str]] = {}
#: What `_SHAPE` gives for the template, by the port of the server.
_shapes: dict[int, str] = {}

# All that a test may have changed beside rows: relations, columns, triggers, functions, rights, settings, the version.
_SHAPE = """
SELECT md5(string_agg(line, E'\n' ORDER BY line)) FROM (
    SELECT format('%s %s %s %s %s', relnamespace, relname, relkind, relacl, relpersistence) AS line FROM pg_class
        WHERE relkind IN ('r', 'i', 'S', 'v', 'm', 'p')
    UNION ALL SELECT format('%s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull) FROM pg_attribute
        WHERE attrelid >= 16384 AND attnum > 0 AND attrelid NOT IN (SELECT oid FROM pg_class WHERE relkind = 't')
    UNION ALL SELECT format('%s %s %s', tgrelid::regclass, tgname, tgenabled) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT format('%s %s', conrelid::regclass, conname) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT format('%s %s %s', proname, prosrc, proacl) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT format('%s %s', nspname, nspacl) FROM pg_namespace WHERE oid >= 16384
    UNION ALL SELECT version_num FROM public.alembic_version
    UNION ALL SELECT setconfig::text FROM pg_db_role_setting JOIN pg_database ON pg_database.oid = setdatabase
        WHERE datname = current_database()
) AS lines
"""

# Deleting a few rows costs PostgreSQL a tenth of truncating, which makes new files for a table and each of its indexes.
# As a replica it asks no foreign key and runs no trigger, which is right where everything goes.
_EMPTY = """
DO $$
DECLARE
    of_ours regclass;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR of_ours IN SELECT pg_class.oid FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relkind = 'r' AND nspname IN ('auth', 'queue', 'camera')
    LOOP
        CONTINUE WHEN pg_relation_size(of_ours) = 0;
        IF pg_relation_size(of_ours) > 1000000 THEN
            EXECUTE format('TRUNCATE %s CASCADE', of_ours);
        ELSE
            EXECUTE format('DELETE FROM %s', of_ours);
        END IF;
    END LOOP;
    PERFORM setval(seqrelid::regclass, seqstart, false) FROM pg_sequence
        WHERE pg_sequence_last_value(seqrelid) IS NOT NULL;
END $$
"""

_END_OTHERS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


async def make_template(cluster: Cluster) -> None:
    """Migrate the database that `new_database` copies."""
    await execute(cluster.url(), f"CREATE DATABASE {_TEMPLATE}")
    await migrate(cluster.url(_TEMPLATE))
    _shapes[cluster.port] = await _value(cluster.url(_TEMPLATE), _SHAPE)


@asynccontextmanager
async def new_database(cluster: Cluster) -> AsyncIterator[Database]:
    """A migrated database in which nothing is, of the test's own until the block ends, connections or not."""
    empty = _empty.setdefault(cluster.port, [])
    if empty:
        name = empty.pop()
    else:
        name = f"test_{secrets.token_hex(6)}"
        await execute(cluster.url(), f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} OWNER {OWNER}")
    try:
        yield Database(cluster, name)
    finally:
        if await _emptied(cluster, name):
            empty.append(name)
        else:
            await execute(cluster.url(), f"DROP DATABASE {name} WITH (FORCE)")


async def _emptied(cluster: Cluster, name: str) -> bool:
    """Whether the database is as it was at first."""
    async with connected(cluster.url(name)) as connection:
        await connection.execute(_END_OTHERS)
        await connection.execute(_EMPTY)
        return bool(await connection.fetchval(_SHAPE) == _shapes[cluster.port])


async def _value(url: str, query: str) -> str:
    async with connected(url) as connection:
        return str(await connection.fetchval(query))
