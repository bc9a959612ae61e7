"""PostgreSQL: one engine per process, one transaction per request, committed before the answer goes out."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from starlette.requests import HTTPConnection

from fluxprint_common.lookup import Lookups
from fluxprint_common.problems import ServiceError

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

CONNECT_TIMEOUT_S = 5
POOL_TIMEOUT_S = 5
STATEMENT_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 5_000
IDLE_IN_TRANSACTION_MS = 30_000
#: What lies between forgets a connection on which nothing is said; most of a pool's are hardly ever used.
KEEP_ALIVE_S = 60

AfterCommit = Callable[[], None]


def metadata_for(schema: str) -> MetaData:
    """The metadata of one service's tables: `class Base(DeclarativeBase): metadata = metadata_for("queue")`."""
    return MetaData(schema=schema, naming_convention=NAMING_CONVENTION)


class ReadSession(AsyncSession):
    """A session for reading only: each statement sees its own snapshot and no transaction is opened."""


class Database:
    """A pool of connections with bounds and time-outs, and the units of work on it.

    Args:
        url: `postgresql+asyncpg://...`
        application: shown in `pg_stat_activity`.
    """

    def __init__(self, url: str, *, application: str, pool_size: int) -> None:
        options: dict[str, Any] = {
            "timeout": CONNECT_TIMEOUT_S,
            "command_timeout": STATEMENT_TIMEOUT_MS / 1000 + 2,
            "server_settings": {
                "application_name": application,
                "statement_timeout": str(STATEMENT_TIMEOUT_MS),
                "lock_timeout": str(LOCK_TIMEOUT_MS),
                "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
                "tcp_keepalives_idle": str(KEEP_ALIVE_S),
            },
        }
        self.engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_TIMEOUT_S,
            pool_recycle=1800,
            pool_use_lifo=True,  # what is used often stays warm: its statements are planned, its pages are at hand
            hide_parameters=True,  # an error's text goes to the log; parameters are hashes, addresses, names
            connect_args=options,
        )
        self.sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        reader = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._read_sessions = async_sessionmaker(reader, class_=ReadSession, expire_on_commit=False, autoflush=False)
        _, address = self.engine.dialect.create_connect_args(self.engine.url)
        #: For what people ask.
        self.lookups = Lookups({**address, **options})
        #: For what machines ask by the clock: however many there are, they take no connection from people.
        self.polls = Lookups({**address, **options})

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end, rolled back on an error.

        An error with `keeps_writes` is security state that the failure itself changed: it commits, then raises.
        What was handed to `after_commit` runs only once the commit is acknowledged.
        """
        async with self.sessions() as session:
            try:
                yield session
            except ServiceError as error:
                if not error.keeps_writes:
                    raise
                await _commit(session)
                raise
            await _commit(session)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[ReadSession]:
        """A short read without a transaction."""
        async with self._read_sessions() as session:
            yield session

    async def ping(self) -> None:
        """Fail unless the database answers."""
        async with self.reading() as session:
            await session.execute(text("SELECT 1"))

    async def close(self) -> None:
        self.lookups.close()
        self.polls.close()
        await self.engine.dispose()


async def _commit(session: AsyncSession) -> None:
    await session.commit()
    for action in session.info.pop("after_commit", ()):
        action()


def after_commit(session: AsyncSession, action: AfterCommit) -> None:
    """Run `action` (quick, no I/O: it hands over to a queue) once the unit of work is committed."""
    session.info.setdefault("after_commit", []).append(action)


async def _session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    database: Database = connection.app.state.database
    async with database.unit_of_work() as session:
        yield session


async def _read_session(connection: HTTPConnection) -> AsyncIterator[ReadSession]:
    database: Database = connection.app.state.database
    async with database.reading() as session:
        yield session


# scope="function": the transaction ends before the answer is sent, so a failed commit is an error answer, not a 200.
# These two aliases are the only ones: two scopes in one request would be two sessions.
Session = Annotated[AsyncSession, Depends(_session, scope="function")]
Reading = Annotated[ReadSession, Depends(_read_session, scope="function")]


def rows_affected(result: Any) -> int:
    """How many rows an UPDATE or DELETE touched."""
    return int(result.rowcount)
