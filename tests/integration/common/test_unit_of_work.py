"""One request is one transaction, committed before the answer goes out; what the database says reaches the client."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from asgi_lifespan import LifespanManager
from fastapi import APIRouter, FastAPI
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from fluxprint_common.database import Database, Reading, Session, after_commit
from fluxprint_common.problems import Conflict, Unauthenticated
from support import servers
from support.small_service import client_of, settings_of, small_service

SCHEMA = "unit_of_work"

router = APIRouter(tags=["small"])


class NameTaken(Conflict):
    """That name is taken"""

    code = "name_taken"


class TokenReused(Unauthenticated):
    """An old token was used again; the session is revoked"""

    code = "token_reused"
    keeps_writes = True


async def add(session: Session, name: str) -> None:
    await session.execute(text(f"INSERT INTO {SCHEMA}.thing (name) VALUES (:name)"), {"name": name})  # noqa: S608


@router.post("/things/{name}")
async def create_thing(name: str, session: Session) -> dict[str, str]:
    await add(session, name)
    after_commit(session, lambda: RANG.append(name))
    return {"name": name}


@router.post("/refused/{name}")
async def refuse(name: str, session: Session) -> None:
    await add(session, name)
    after_commit(session, lambda: RANG.append(name))
    raise NameTaken


@router.post("/kept/{name}")
async def keep(name: str, session: Session) -> None:
    await add(session, name)
    after_commit(session, lambda: RANG.append(name))
    raise TokenReused


@router.post("/crashed/{name}")
async def crash(name: str, session: Session) -> None:
    await add(session, name)
    raise RuntimeError("boom")


@router.get("/reading")
async def read(reading: Reading) -> dict[str, str | None]:
    first = await reading.scalar(text("SELECT pg_backend_pid()"))
    async with WATCHING.engine.connect() as watcher:
        row = await watcher.execute(
            text("SELECT state, xact_start::text AS since, application_name FROM pg_stat_activity WHERE pid = :pid"),
            {"pid": first},
        )
        return dict(row.mappings().one())


@router.get("/activity")
async def activity(session: Session) -> dict[str, str]:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    return {name: str(await session.scalar(text(f"SHOW {name}"))) for name in names}


@router.get("/wrong-statement")
async def wrong_statement(session: Session) -> None:
    await session.execute(text("SELECT * FROM nowhere WHERE password = :password"), {"password": "hunter2"})


@router.get("/too-slow")
async def too_slow(session: Session) -> None:
    await session.execute(text("SET LOCAL statement_timeout = '50ms'"))
    await session.execute(text("SELECT pg_sleep(5)"))


@router.get("/locked")
async def locked(session: Session) -> None:
    await session.execute(text("SET LOCAL lock_timeout = '50ms'"))
    await session.execute(text(f"LOCK TABLE {SCHEMA}.thing"))


RANG: list[str] = []
WATCHING: Database


@pytest.fixture(scope="module")
async def app(postgres: str) -> AsyncIterator[FastAPI]:
    """A service on a table whose `name` is unique, which is only checked at COMMIT."""
    await servers.execute(
        postgres,
        f"""DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA};
        CREATE TABLE {SCHEMA}.thing (name text NOT NULL, CHECK (name <> 'forbidden'),
            CONSTRAINT uq_thing_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED)""",
    )
    global WATCHING  # noqa: PLW0603
    WATCHING = Database(postgres, application="watcher", pool_size=2)
    app = small_service(router, settings_of(database_url=postgres), constraint_errors={"uq_thing_name": NameTaken})
    async with LifespanManager(app):
        yield app
    await WATCHING.close()
    await servers.execute(postgres, f"DROP SCHEMA {SCHEMA} CASCADE")


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    RANG.clear()
    async with client_of(app) as client:
        yield client


@pytest.fixture
def name() -> str:
    return uuid4().hex


async def stored(name: str) -> int:
    async with WATCHING.reading() as session:
        found = await session.scalar(text(f"SELECT count(*) FROM {SCHEMA}.thing WHERE name = :name"), {"name": name})  # noqa: S608
        return int(found or 0)


class TestCommit:
    async def test_comes_before_the_answer(self, client: httpx.AsyncClient, name: str) -> None:
        assert (await client.post(f"/api/v1/things/{name}")).status_code == 200
        assert await stored(name) == 1
        assert [name] == RANG

    async def test_that_fails_is_an_error_answer(self, client: httpx.AsyncClient, name: str) -> None:
        """The constraint is deferred: the INSERT succeeds, the route returns, and only COMMIT fails."""
        await client.post(f"/api/v1/things/{name}")
        RANG.clear()
        answer = await client.post(f"/api/v1/things/{name}")
        assert answer.status_code == 409
        assert answer.json()["code"] == "name_taken"
        assert await stored(name) == 1
        assert RANG == []

    async def test_of_two_at_once_lets_one_win(self, client: httpx.AsyncClient, name: str) -> None:
        answers = await asyncio.gather(*(client.post(f"/api/v1/things/{name}") for _ in range(8)))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
        assert [name] == RANG


class TestRollback:
    async def test_follows_a_refusal(self, client: httpx.AsyncClient, name: str) -> None:
        assert (await client.post(f"/api/v1/refused/{name}")).status_code == 409
        assert await stored(name) == 0
        assert RANG == []

    async def test_follows_a_crash(self, client: httpx.AsyncClient, name: str) -> None:
        assert (await client.post(f"/api/v1/crashed/{name}")).status_code == 500
        assert await stored(name) == 0

    async def test_spares_what_the_error_itself_must_keep(self, client: httpx.AsyncClient, name: str) -> None:
        answer = await client.post(f"/api/v1/kept/{name}")
        assert (answer.status_code, answer.json()["code"]) == (401, "token_reused")
        assert await stored(name) == 1
        assert [name] == RANG

    async def test_follows_a_request_that_was_given_up(self, app: FastAPI, name: str) -> None:
        database: Database = app.state.database
        begun = asyncio.Event()

        async def work() -> None:
            async with database.unit_of_work() as session:
                await add(session, name)
                begun.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stored(name) == 0
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


class TestErrors:
    async def test_of_a_constraint_nobody_named_are_ours_to_mend(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/things/forbidden")
        assert answer.status_code == 500
        assert answer.json()["code"] == "internal_error"

    async def test_of_a_statement_show_no_parameters(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/wrong-statement")
        assert answer.status_code == 500
        assert "hunter2" not in answer.text
        database: Database = app.state.database
        with pytest.raises(Exception, match="nowhere") as caught:
            async with database.unit_of_work() as session:
                await wrong_statement(session)
        assert "hunter2" not in str(caught.value)

    async def test_a_statement_that_takes_too_long_ends(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/too-slow")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")

    async def test_a_lock_is_not_waited_for_forever(self, client: httpx.AsyncClient) -> None:
        async with WATCHING.unit_of_work() as session:
            await session.execute(text(f"LOCK TABLE {SCHEMA}.thing"))
            answer = await client.get("/api/v1/locked")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")

    async def test_a_connection_that_was_cut_is_replaced(self, client: httpx.AsyncClient, name: str) -> None:
        """A restarted server: every pooled connection is dead, at most one request per worker notices."""
        async with WATCHING.unit_of_work() as session:
            await session.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'fluxprint-common'"
                )
            )
        first = await client.post(f"/api/v1/things/{name}")
        assert first.status_code in (200, 503)
        answers = [await client.post(f"/api/v1/things/{name}-{n}") for n in range(3)]
        assert [answer.status_code for answer in answers] == [200] * 3


class TestBounds:
    async def test_stand_on_every_connection(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/activity")).json() == {
            "statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s",
        }  # fmt: skip

    async def test_reading_opens_no_transaction(self, client: httpx.AsyncClient) -> None:
        found = (await client.get("/api/v1/reading")).json()
        assert found == {"state": "idle", "since": None, "application_name": "fluxprint-common"}

    async def test_all_connections_go_back(self, app: FastAPI, client: httpx.AsyncClient, name: str) -> None:
        paths = [
            f"/api/v1/things/{name}",
            f"/api/v1/refused/{name}",
            f"/api/v1/kept/{name}x",
            f"/api/v1/crashed/{name}",
        ]
        await asyncio.gather(*(client.post(path) for path in paths * 5))
        database: Database = app.state.database
        assert database.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_failed_commit_in_a_loop_raises(app: FastAPI, name: str) -> None:
    async def add_twice(database: Database) -> None:
        async with database.unit_of_work() as session:
            await add(session, name)
            await add(session, name)

    with pytest.raises(IntegrityError):
        await add_twice(app.state.database)
    assert await stored(name) == 0
