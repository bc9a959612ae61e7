"""The one history of migrations: it goes up, down and up again, survives two migrators, and keeps services apart."""

import asyncio
import importlib
import os
import secrets
import sys
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.postgres import Cluster
from support import servers

SERVICES: tuple[servers.Service, ...] = ("auth", "queue", "camera")

TABLES = """
    SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname IN ('auth', 'queue', 'camera')
"""
SCHEMAS = "SELECT nspname FROM pg_namespace WHERE nspname IN ('auth', 'queue', 'camera')"


@pytest.fixture
async def empty(postgres_cluster: Cluster) -> AsyncIterator[servers.Database]:
    """A database that was never migrated."""
    name = f"empty_{secrets.token_hex(6)}"
    await servers.execute(postgres_cluster.url(), f"CREATE DATABASE {name}")
    yield servers.Database(postgres_cluster, name)
    await servers.execute(postgres_cluster.url(), f"DROP DATABASE {name} WITH (FORCE)")


async def column(url: str, query: str, *arguments: str) -> set[str]:
    """The first column of what a query finds."""
    async with servers.connected(url) as connection:
        return {str(row[0]) for row in await connection.fetch(query, *arguments)}


async def alembic(*arguments: str, **environment: str) -> tuple[int, str]:
    """The command as somebody types it: exit status and all output."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MIGRATE_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "alembic", *arguments,
        cwd=ROOT, env={**inherited, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


class TestHistory:
    async def test_goes_up_down_and_up_again(self, empty: servers.Database) -> None:
        await servers.migrate(empty.url)
        tables = await column(empty.url, TABLES)
        assert "auth.user" in tables

        await servers.migrate(empty.url, "base", direction="downgrade")
        assert await column(empty.url, SCHEMAS) == set()

        await servers.migrate(empty.url)
        assert await column(empty.url, TABLES) == tables

    async def test_two_migrators_at_once_do_it_once(self, empty: servers.Database) -> None:
        await asyncio.gather(*(servers.migrate(empty.url) for _ in range(2)))
        assert "auth.user" in await column(empty.url, TABLES)

    async def test_leaves_the_schema_of_a_later_version_as_it_is(self, database: servers.Database) -> None:
        """Whoever goes back to an older version starts its migrations too."""
        await servers.execute(database.url, "UPDATE public.alembic_version SET version_num = '9999'")
        status, output = await alembic("upgrade", "head", MIGRATE_DATABASE_URL=database.url)
        assert (status, "of a later version" in output) == (0, True), output
        status, output = await alembic("downgrade", "base", MIGRATE_DATABASE_URL=database.url)
        assert status != 0
        await servers.execute(database.url, "UPDATE public.alembic_version SET version_num = '0000'")
        status, output = await alembic("upgrade", "head", MIGRATE_DATABASE_URL=database.url)
        assert status != 0

    async def test_without_an_address_says_which_variable_to_set(self) -> None:
        status, output = await alembic("upgrade", "head")
        assert status != 0
        assert "set MIGRATE_DATABASE_URL" in output
        assert "Traceback" not in output


class TestModels:
    async def test_alembic_finds_nothing_to_add(self, database: servers.Database) -> None:
        status, output = await alembic("check", MIGRATE_DATABASE_URL=database.url)
        assert status == 0, output[-3000:]

    @pytest.mark.parametrize("service", SERVICES)
    async def test_make_the_very_tables_of_the_migrations(
        self, service: str, database: servers.Database, empty: servers.Database
    ) -> None:
        """`alembic check` looks at neither CHECK constraints nor the conditions of partial indexes; this does."""
        metadata: MetaData = importlib.import_module(f"fluxprint_{service}.models").metadata
        engine = create_async_engine(empty.url)
        async with engine.begin() as connection:
            await connection.execute(text(f"CREATE SCHEMA {service}"))
            await connection.run_sync(metadata.create_all)
        await engine.dispose()
        assert await described(database.url, service) == await described(empty.url, service)


COLUMNS = """
    SELECT concat_ws(' ', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                     a.attnotnull, a.attidentity::text, pg_get_expr(d.adbin, d.adrelid))
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = $1::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
"""
# Triggers are no part of the models: migrations make them, and tests show what they do.
CONSTRAINTS = """
    SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    FROM pg_constraint WHERE connamespace = $1::regnamespace AND contype NOT IN ('n', 't')
"""
INDEXES = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1"
SEQUENCES = "SELECT concat_ws(' ', sequencename, start_value, increment_by) FROM pg_sequences WHERE schemaname = $1"


async def described(url: str, schema: str) -> dict[str, set[str]]:
    """What is in a schema, as PostgreSQL itself spells it."""
    queries = {"columns": COLUMNS, "constraints": CONSTRAINTS, "indexes": INDEXES, "sequences": SEQUENCES}
    return {what: await column(url, query, schema) for what, query in queries.items()}


class TestRoles:
    @pytest.mark.parametrize("service", SERVICES)
    async def test_a_service_sees_its_own_schema_only(
        self, service: servers.Service, database: servers.Database
    ) -> None:
        tables = await column(database.url, TABLES)
        async with servers.connected(database.url_for(service)) as connection:
            for table in tables:
                if table.startswith(f"{service}."):
                    await connection.fetch(f"TABLE {table} LIMIT 1")
                else:
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await connection.fetch(f"TABLE {table} LIMIT 1")
            if service == "auth":  # which tells administrators
                assert await connection.fetch("SELECT * FROM public.alembic_version")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute("DELETE FROM public.alembic_version")
            else:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.fetch("SELECT * FROM public.alembic_version")

    async def test_a_service_cannot_alter_its_schema(self, database: servers.Database) -> None:
        async with servers.connected(database.url_for("auth")) as connection:
            for statement in (
                "CREATE TABLE auth.mine ()",
                "CREATE TABLE public.mine ()",
                "ALTER TABLE auth.user ADD x int",
                "DROP TABLE auth.user",
                "TRUNCATE auth.user CASCADE",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)

    async def test_security_events_can_be_added_but_not_changed(self, database: servers.Database) -> None:
        async with servers.connected(database.url_for("auth")) as connection:
            await connection.execute(
                "INSERT INTO auth.security_events (id, type, data) VALUES (gen_random_uuid(), 'tried', '{}')"
            )
            for statement in (
                "UPDATE auth.security_events SET type = 'other'",
                "DELETE FROM auth.security_events",
                "TRUNCATE auth.security_events",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute(statement)
            assert await connection.fetchval("SELECT count(*) FROM auth.security_events") == 1


class TestRolePasswords:
    async def test_follow_the_environment(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        """On a server of its own: roles belong to the server, and other tests sign in with theirs."""
        odd = 'it\'s "odd" $1 :name %s \\ ;--'
        async with servers.running_postgres(tmp_path_factory.mktemp("roles")) as cluster:

            async def change_to(password: str) -> str:
                status, output = await alembic(
                    "current", MIGRATE_DATABASE_URL=cluster.url(), MIGRATE_AUTH_PASSWORD=password
                )
                assert status == 0, output
                return output

            async def sign_in(password: str) -> None:
                connection = await asyncpg.connect(
                    host="127.0.0.1", port=cluster.port, user="fluxprint_auth", password=password, database="fluxprint"
                )
                await connection.close()

            await change_to("the-first-one")
            await sign_in("the-first-one")
            output = await change_to(odd)
            await sign_in(odd)
            with pytest.raises(asyncpg.InvalidPasswordError):
                await sign_in("the-first-one")
        assert odd not in output

    async def test_that_cannot_be_set_are_refused_without_being_shown(self, postgres: str) -> None:
        status, output = await alembic("current", MIGRATE_DATABASE_URL=postgres, MIGRATE_AUTH_PASSWORD="schlüssel")
        assert status != 0
        assert "MIGRATE_AUTH_PASSWORD: not printable ASCII" in output
        assert "schlüssel" not in output
        assert "Traceback" not in output
