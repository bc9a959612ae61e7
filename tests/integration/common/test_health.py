"""What a service says about itself, and does, while PostgreSQL, Redis or a loop of its own is away."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from fastapi import APIRouter, FastAPI
from sqlalchemy import text

from fluxprint_common.background import Supervisor
from fluxprint_common.database import Database, Reading
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process
from fluxprint_local.redis import Redis
from support import servers
from support.small_service import running, settings_of, small_service

router = APIRouter(tags=["small"])


@router.get("/one")
async def one(session: Reading) -> int:
    return int(await session.scalar(text("SELECT 1")) or 0)


@router.get("/nothing")
async def nothing() -> str:
    return "unrelated"


class Switch:
    """A server that a test turns off, on, and pauses."""

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log
        self._stack = contextlib.AsyncExitStack()
        self._pid = 0

    async def on(self) -> None:
        self._pid = (await self._stack.enter_async_context(servers.started(self._process, self._log))).pid

    async def off(self) -> None:
        await self._stack.aclose()

    def pause(self) -> None:
        for process in self._all():
            process.suspend()

    def go_on(self) -> None:
        for process in self._all():
            process.resume()

    def _all(self) -> list[psutil.Process]:
        server = psutil.Process(self._pid)
        return [server, *server.children(recursive=True)]


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[tuple[Switch, str]]:
    server = Redis(folder=tmp_path, port=free_port(), password="test-redis")
    switch = Switch(server.process(), tmp_path / "redis.log")
    await switch.on()
    yield switch, server.url()
    await switch.off()


@pytest.fixture(scope="module")
async def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Switch, str]]:
    async with servers.running_postgres(tmp_path_factory.mktemp("own")) as cluster:
        process, log = cluster.process(), cluster.data.parent / "again.log"
        url = cluster.url()
    switch = Switch(process, log)
    yield switch, url
    await switch.off()


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
    async def test_is_a_degraded_service_that_recovers(self, postgres: str, redis: tuple[Switch, str]) -> None:
        switch, url = redis
        async with running(small_service(router, settings_of(database_url=postgres, redis_url=url))) as client:
            code, body = await health(client)
            assert (code, body["status"], body["redis"]) == (200, "healthy", "connected")
            await switch.off()
            code, body = await health(client)
            assert (code, body["status"]) == (200, "degraded")
            assert (body["redis"], body["database"]) == ("disconnected", "connected")
            assert (await client.get("/api/v1/one")).status_code == 200
            await switch.on()
            assert (await until(client, "healthy"))["redis"] == "connected"

    async def test_paused_is_away_too(self, postgres: str, redis: tuple[Switch, str]) -> None:
        switch, url = redis
        async with running(small_service(router, settings_of(database_url=postgres, redis_url=url))) as client:
            switch.pause()
            try:
                assert (await health(client))[1]["status"] == "degraded"
            finally:
                switch.go_on()
            await until(client, "healthy")

    async def test_not_configured_is_no_fault(self, postgres: str) -> None:
        async with running(small_service(router, settings_of(database_url=postgres))) as client:
            code, body = await health(client)
        assert (code, body["status"], body["redis"]) == (200, "healthy", "not configured")


class TestDatabaseAway:
    async def test_is_a_clear_503_and_recovers_without_a_restart(self, own_postgres: tuple[Switch, str]) -> None:
        switch, url = own_postgres
        async with running(small_service(router, settings_of(database_url=url))) as client:
            code, body = await health(client)
            assert (code, body["status"], body["database"]) == (503, "unhealthy", "disconnected")
            answer = await client.get("/api/v1/one")
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            assert int(answer.headers["retry-after"]) > 0
            assert (await client.get("/api/v1/nothing")).status_code == 200

            await switch.on()
            await until(client, "healthy")
            assert (await client.get("/api/v1/one")).json() == 1

            await switch.off()
            assert (await client.get("/api/v1/one")).status_code == 503
            await switch.on()
            await until(client, "healthy")
            assert (await client.get("/api/v1/one")).json() == 1

            switch.pause()
            try:
                code, body = await health(client)
                assert (code, body["database"]) == (503, "disconnected")
                assert (await client.get("/api/v1/nothing")).status_code == 200
            finally:
                switch.go_on()
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
        assert body["loops"] == {"doorbells": "running", "leases": "failing"}
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
