"""Rows that are read past the sessions: the same answers, and the same bounds and errors."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import DateTime, Uuid, bindparam, column, func, literal, select, text

from fluxprint_common import lookup as lookups
from fluxprint_common.database import Database
from fluxprint_common.lookup import CONNECTIONS, Lookup
from fluxprint_common.problems import DatabaseUnavailable, from_database
from support.servers import connected
from support.small_service import client_of, settings_of, small_service

router = APIRouter(tags=["small"])

WHO = Lookup(
    select(
        bindparam("who", type_=Uuid).label("who"),
        func.pg_backend_pid().label("pid"),
        func.current_setting("application_name").label("application"),
        func.current_setting("statement_timeout").label("timeout"),
        func.now(type_=DateTime(timezone=True)).label("at"),
    ).where(bindparam("wanted", type_=Uuid) == bindparam("who", type_=Uuid))
)
SLOW = Lookup(select(literal(1).label("one"), func.pg_sleep(bindparam("seconds")).label("slept")))
WRONG = Lookup(select(column("nothing")).select_from(text("nowhere")))


@router.get("/slow/{seconds}")
async def slow(request: Request, seconds: float) -> None:
    await request.app.state.database.lookups.row(SLOW, seconds=seconds)


@router.get("/wrong")
async def wrong(request: Request) -> None:
    await request.app.state.database.lookups.row(WRONG)


@pytest.fixture
async def database(postgres: str) -> AsyncIterator[Database]:
    database = Database(postgres, application="lookups", pool_size=2)
    yield database
    await database.close()


async def pid(database: Database) -> int:
    me = uuid4()
    row = await database.lookups.row(WHO, who=me, wanted=me)
    assert row is not None
    return int(str(row["pid"]))


async def connections(database: Database) -> int:
    async with database.reading() as session:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lookups' AND pid <> pg_backend_pid()"
        return int(await session.scalar(text(query)) or 0)


async def cut(database: Database) -> None:
    """What a restart of the server does to the connections."""
    async with database.reading() as session:
        query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'lookups'"
        await session.execute(text(query + " AND pid <> pg_backend_pid()"))


class TestRow:
    async def test_has_the_columns_by_name(self, database: Database) -> None:
        me = uuid4()
        row = await database.lookups.row(WHO, wanted=me, who=me)
        assert row is not None
        assert list(row) == ["who", "pid", "application", "timeout", "at"]
        assert isinstance(row["who"], UUID)
        assert (row["who"], row["application"], row["timeout"]) == (me, "lookups", "10s")

    async def test_that_is_not_there_is_none(self, database: Database) -> None:
        assert await database.lookups.row(WHO, who=uuid4(), wanted=uuid4()) is None

    async def test_one_after_the_other_comes_over_one_connection(self, database: Database) -> None:
        assert len({await pid(database) for _ in range(5)}) == 1

    async def test_however_many_machines_poll_people_are_answered(self, database: Database) -> None:
        polls = [asyncio.create_task(database.polls.row(SLOW, seconds=0.5)) for _ in range(CONNECTIONS * 3)]
        await asyncio.sleep(0)
        async with asyncio.timeout(0.4):
            await pid(database)
        await asyncio.gather(*polls)
        assert await connections(database) == CONNECTIONS + 1

    async def test_many_at_once_come_over_a_few(self, database: Database) -> None:
        running = [asyncio.create_task(database.lookups.row(SLOW, seconds=0.05)) for _ in range(CONNECTIONS * 3)]
        await asyncio.gather(*running)
        assert await connections(database) == CONNECTIONS


class TestTrouble:
    async def test_a_connection_that_was_cut_is_replaced(self, database: Database) -> None:
        async def unless_it_notices() -> int | None:
            try:
                return await pid(database)
            except Exception as error:
                if not isinstance(from_database(error, {}), DatabaseUnavailable):
                    raise
                return None

        before = await pid(database)
        await cut(database)
        assert (await unless_it_notices() or await pid(database)) != before

    async def test_one_that_is_given_up_takes_its_connection_with_it(self, database: Database) -> None:
        before = await pid(database)
        for _ in range(CONNECTIONS + 1):
            task = asyncio.create_task(database.lookups.row(SLOW, seconds=60))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await pid(database) != before

    async def test_waiting_for_a_connection_has_an_end(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lookups, "WAIT_S", 0.05)
        running = [asyncio.create_task(database.lookups.row(SLOW, seconds=0.5)) for _ in range(CONNECTIONS)]
        await asyncio.sleep(0)
        with pytest.raises(DatabaseUnavailable):
            await pid(database)
        await asyncio.gather(*running)
        assert await pid(database)


class TestAnswers:
    @pytest.fixture
    async def app(self, postgres: str) -> AsyncIterator[FastAPI]:
        app = small_service(router, settings_of(database_url=postgres))
        async with LifespanManager(app):
            yield app

    @pytest.fixture
    async def client(self, app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
        async with client_of(app) as client:
            yield client

    async def test_of_a_query_that_takes_too_long(self, client: httpx.AsyncClient, postgres: str) -> None:
        task = asyncio.create_task(client.get("/api/v1/slow/30"))
        async with connected(postgres) as watcher:
            # As `statement_timeout` does after ten seconds.
            running = "application_name = 'fluxprint-common' AND wait_event = 'PgSleep'"
            query = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {running}"  # noqa: S608
            async with asyncio.timeout(5):
                while not await watcher.fetchval(query):
                    await asyncio.sleep(0.02)
        answer = await task
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")

    async def test_of_a_wrong_query_is_ours_to_mend(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/wrong")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")

    async def test_with_the_database_away(self) -> None:
        app = small_service(router)
        async with LifespanManager(app), client_of(app) as client:
            answer = await client.get("/api/v1/slow/0")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
