"""Indexes made beside the traffic: CONCURRENTLY, and with patience for whoever was there before."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

#: Such a statement waits for every older transaction, a backup's as well, and holds up no reads and no writes
#: meanwhile. A transaction that somebody forgot still ends the migration, which says so.
PATIENCE = "30min"


@contextmanager
def concurrently() -> Iterator[None]:
    """Outside a transaction, and with `PATIENCE` instead of the lock time-out that env.py sets."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        before = connection.scalar(sa.text("SHOW lock_timeout"))
        change = sa.text("SELECT set_config('lock_timeout', :value, false)")
        connection.execute(change, {"value": PATIENCE})
        try:
            yield
        finally:
            connection.execute(change, {"value": before})


def make_index(
    name: str,
    table: str,
    columns: Sequence[str],
    *,
    schema: str,
    where: str | None = None,
    include: Sequence[str] = (),
    unique: bool = False,
) -> None:
    """An index, inside of `concurrently()`. One that was interrupted is left behind and of no use: it goes first."""
    drop_index(name, table, schema=schema)
    op.create_index(
        name,
        table,
        columns,
        schema=schema,
        unique=unique,
        postgresql_where=sa.text(where) if where else None,
        postgresql_include=include or None,
        postgresql_concurrently=True,
    )


def drop_index(name: str, table: str, *, schema: str) -> None:
    """Without an index, inside of `concurrently()`; nothing where it is not there."""
    op.drop_index(name, table, schema=schema, if_exists=True, postgresql_concurrently=True)
