"""Indexes made beside the traffic: CONCURRENTLY, and with patience for whoever was there before."""

from collections.abc import Iterator
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
