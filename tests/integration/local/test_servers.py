"""The database and Redis servers that the local stack and the tests start."""

import asyncpg
import pytest
from redis.asyncio import Redis

from fluxprint_local.postgres import Cluster


class TestPostgres:
    async def test_refuses_a_wrong_password(self, postgres: str) -> None:
        url = postgres.replace("+asyncpg", "")
        connection = await asyncpg.connect(url)
        await connection.close()
        user, rest = url.rsplit("@", 1)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"{user[:-1]}x@{rest}")

    async def test_keeps_utf8_text_and_utc_time(self, postgres: str) -> None:
        connection = await asyncpg.connect(postgres.replace("+asyncpg", ""))
        try:
            assert await connection.fetchval("SHOW server_encoding") == "UTF8"
            assert await connection.fetchval("SHOW timezone") == "UTC"
        finally:
            await connection.close()

    async def test_listens_on_loopback_only(self, postgres_cluster: Cluster) -> None:
        connection = await asyncpg.connect(postgres_cluster.url().replace("+asyncpg", ""))
        try:
            assert await connection.fetchval("SHOW listen_addresses") == "127.0.0.1"
            assert await connection.fetchval("SHOW unix_socket_directories") == ""
        finally:
            await connection.close()


class TestRedis:
    async def test_bounds_its_memory_and_keeps_nothing(self, redis_url: str) -> None:
        async with Redis.from_url(redis_url) as client:
            config = await client.config_get("maxmemory", "save", "appendonly")
        assert config == {"maxmemory": str(64 * 1024 * 1024), "save": "", "appendonly": "no"}
