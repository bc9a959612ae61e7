"""Lookups: single rows that clients ask for all the time, read by the driver itself.

A session and its ORM cost ten times what the query costs (docs/benchmarks.md). A lookup is written with SQLAlchemy
like every other statement, but compiled once, and run on connections that only ever read: no transaction to open, no
state to reset, no object to build.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
from sqlalchemy import Dialect, Select
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from fluxprint_common.problems import DatabaseUnavailable

CONNECTIONS = 4
WAIT_S = 5.0

_DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call]


class Lookup:
    """A SELECT of at most one row, whose values are `bindparam`s: `row` takes them by name."""

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        compiled = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._names = tuple(compiled.positiontup or ())
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}

    def positional(self, values: Mapping[str, object]) -> list[object]:
        """The values in the order of the statement. Raises `KeyError` where one is missing."""
        return [values[name] if name in values else self._fixed[name] for name in self._names]


class Lookups:
    """Runs lookups on a few connections, opened when they are needed.

    Args:
        connect: what `asyncpg.connect` takes.
    """

    def __init__(self, connect: Mapping[str, Any]) -> None:
        self._connect = connect
        self._room = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[asyncpg.Connection] = []

    async def row(self, lookup: Lookup, **values: object) -> Mapping[str, object] | None:
        """The row by its columns' names, or None where there is none.

        Raises:
            DatabaseUnavailable: no connection became free. Otherwise what asyncpg raises; `problems` renders it.
        """
        await self._enter()
        try:
            connection = await self._connection()
            try:
                row = await connection.fetchrow(lookup.sql, *lookup.positional(values))
            except BaseException:  # cancelled in the middle, or broken: nobody can say what is left on the wire
                connection.terminate()
                raise
            self._idle.append(connection)
        finally:
            self._room.release()
        return dict(row) if row is not None else None

    async def _enter(self) -> None:
        if not self._room.locked():  # nearly always; a time-out costs as much as a third of the query
            await self._room.acquire()
            return
        try:
            async with asyncio.timeout(WAIT_S):
                await self._room.acquire()
        except TimeoutError:
            raise DatabaseUnavailable from None

    async def _connection(self) -> asyncpg.Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await asyncpg.connect(**self._connect)

    def close(self) -> None:
        """Let go of the connections."""
        while self._idle:
            self._idle.pop().terminate()
