"""What a service says about itself, and does, while PostgreSQL, Redis or a loop of its own is away."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from fluxprint_common import health as health_module
from fluxprint_common.background import Supervisor
from fluxprint_common.database import Database, Reading
from support.small_service import running, settings_of, small_service
from support.switch import Switch, switched_postgres, switched_redis

router = APIRouter(tags=["small"])


@router.get("/one")
async def one(session: Reading) -> int:
    return int(await session.scalar(text("SELECT 1")) or 0)


@router.get("/nothing")
async def nothing() -> str:
    return "unrelated"


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "KEEP_S", 0.0)


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Switch]:
    async with switched_redis(tmp_path) as switch:
        yield switch


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[Switch]:
    async with switched_postgres(tmp_path) as switch:
        yield switch


async def health(client: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
    answer = await client.get("/health")
    return answer.status_code, answer.json()


async def until(client: httpx.AsyncClient, status: str, *, within_s: float = 20) -> dict[str, Any]:
    async with asyncio.timeout(within_s):
        while True:
            _code, body = await health(client)
            if body["status"] == status:
                return body
            await asyncio.sleep(0.05)


class TestRedisAway:
    async def test_is_a_degraded_service_that_recovers(self, postgres: str, redis: Switch) -> None:
        async with running(small_service(router, settings_of(database_url=postgres, redis_url=redis.url))) as client:
            code, body = await health(client)
            assert (code, body["status"], body["redis"]) == (200, "healthy", "connected")
            await redis.off()
            code, body = await health(client)
            assert (code, body["status"]) == (200, "degraded")
            assert (body["redis"], body["database"]) == ("disconnected", "connected")
            assert (await client.get("/api/v1/one")).status_code == 200
            await redis.on()
            assert (await until(client, "healthy"))["redis"] == "connected"

    async def test_paused_is_away_too(self, postgres: str, redis: Switch) -> None:
        async with running(small_service(router, settings_of(database_url=postgres, redis_url=redis.url))) as client:
            with redis.paused():
                assert (await health(client))[1]["status"] == "degraded"
            await until(client, "healthy")

    async def test_not_configured_is_no_fault(self, postgres: str) -> None:
        async with running(small_service(router, settings_of(database_url=postgres))) as client:
            code, body = await health(client)
        assert (code, body["status"], body["redis"]) == (200, "healthy", "not configured")


class TestDatabaseAway:
    async def test_is_a_clear_503_and_recovers_without_a_restart(self, own_postgres: Switch) -> None:
        async with running(small_service(router, settings_of(database_url=own_postgres.url))) as client:
            code, body = await health(client)
            assert (code, body["status"], body["database"]) == (503, "unhealthy", "disconnected")
            answer = await client.get("/api/v1/one")
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert (await client.get("/api/v1/nothing")).status_code == 200

            await own_postgres.on()
            await until(client, "healthy")
            assert (await client.get("/api/v1/one")).json() == 1

            await own_postgres.off()
            assert (await client.get("/api/v1/one")).status_code == 503
            await own_postgres.on()
            await until(client, "healthy")
            assert (await client.get("/api/v1/one")).json() == 1

            with own_postgres.paused():
                code, body = await health(client)
                assert (code, body["database"]) == (503, "disconnected")
                assert (await client.get("/api/v1/nothing")).status_code == 200
            await until(client, "healthy")

    @pytest.mark.parametrize("host", ["nowhere.invalid", "127.0.0.1:1"])
    async def test_a_name_that_is_gone_is_a_server_that_is_gone(self, host: str) -> None:
        url = f"postgresql+asyncpg://nobody:nothing@{host}/nowhere"
        async with running(small_service(router, settings_of(database_url=url))) as client:
            answer = await client.get("/api/v1/one")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")

    async def test_all_connections_taken_is_said_in_time(self, postgres: str) -> None:
        app = small_service(router, settings_of(database_url=postgres))
        async with running(app) as client, contextlib.AsyncExitStack() as taken:
            database: Database = app.state.database
            for _ in range(3):
                session = await taken.enter_async_context(database.reading())
                await session.execute(text("SELECT 1"))
            answer = await client.get("/api/v1/one")
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            await taken.aclose()
            assert (await client.get("/api/v1/one")).json() == 1


class TestLoops:
    @pytest.fixture
    def app(self, postgres: str) -> FastAPI:
        return small_service(router, settings_of(database_url=postgres))

    async def start(self, app: FastAPI, name: str, action: Callable[[], None], *, critical: bool = True) -> None:
        async def loop() -> None:
            action()

        loops: Supervisor = app.state.loops
        loops.start(name, loop, critical=critical)

    async def test_that_keep_failing_make_the_service_unready(self, app: FastAPI) -> None:
        def fail() -> None:
            raise RuntimeError("boom")

        async with running(app) as client:
            await self.start(app, "leases", fail)
            body = await until(client, "unhealthy")
            code, _ = await health(client)
        assert code == 503
        assert body["loops"] == {"doorbells": "running", "leases": "failing", "revocations": "running"}
        assert body["database"] == "connected"

    async def test_that_are_dead_make_the_service_unready(self, app: FastAPI) -> None:
        def die() -> None:
            raise asyncio.CancelledError

        async with running(app) as client:
            await self.start(app, "leases", die)
            body = await until(client, "unhealthy")
        assert body["loops"]["leases"] == "failing"

    async def test_that_hang_on_redis_do_not(self, app: FastAPI) -> None:
        tries = 0
        tried = asyncio.Event()

        def fail() -> None:
            nonlocal tries
            tries += 1
            if tries >= 4:
                tried.set()
            raise ConnectionError("no Redis")

        async with running(app) as client:
            await self.start(app, "redis-events", fail, critical=False)
            await tried.wait()
            assert (await health(client))[1]["status"] == "healthy"


async def test_the_same_health_stands_under_the_service_s_public_name(postgres: str) -> None:
    async with running(small_service(router, settings_of(database_url=postgres))) as client:
        answer = await client.get("/api/v1/common/health")
    assert answer.status_code == 200
    assert answer.json()["service"] == "common"
    assert set(answer.json()) == {"status", "service", "version", "database", "redis", "loops"}


class TestFlood:
    """Anybody may ask for the health of a service: that must not cost the database."""

    @pytest.fixture
    def pings(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """When the database was asked."""
        asked: list[float] = []
        ping = Database.ping

        async def counted(database: Database) -> None:
            asked.append(asyncio.get_running_loop().time())
            await ping(database)

        monkeypatch.setattr(Database, "ping", counted)
        return asked

    async def test_asks_the_database_once(
        self, postgres: str, pings: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health_module, "KEEP_S", 60.0)
        async with running(small_service(router, settings_of(database_url=postgres))) as client:
            paths = ["/health", "/api/v1/common/health"] * 25
            answers = await asyncio.gather(*(client.get(path) for path in paths))
            answers += [await client.get(path) for path in paths]
        assert {answer.status_code for answer in answers} == {200}
        assert len(pings) == 1

    async def test_an_answer_is_soon_old(
        self, postgres: str, pings: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(health_module, "KEEP_S", 0.05)
        async with running(small_service(router, settings_of(database_url=postgres))) as client, asyncio.timeout(20):
            while len(pings) < 3:
                await client.get("/health")
        assert all(later - earlier >= 0.05 for earlier, later in itertools.pairwise(pings))
