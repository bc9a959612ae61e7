"""`db-status`: what the database is like at this moment."""

import argparse
from typing import TYPE_CHECKING

from fluxprint_auth.administration import repository
from fluxprint_auth.commands import running
from fluxprint_auth.settings import AuthSettings

if TYPE_CHECKING:
    from fluxprint_auth.commands.running import Subparsers


def add_to(commands: "Subparsers") -> None:
    """The command, which takes nothing."""
    running.add(commands, "db-status", run, help="show the schema's revision, sizes, connections and what waits")


async def run(_arguments: argparse.Namespace, settings: AuthSettings) -> None:
    """A line for each fact."""
    async with running.connected(settings, "db-status") as database, database.reading() as session:
        status = await repository.database_status(session)
    oldest = "none" if status.oldest_transaction_s is None else f"{status.oldest_transaction_s} s"
    facts = {
        "PostgreSQL": status.server_version,
        "schema revision": status.schema_revision or "unknown",
        "database": _size(status.database_bytes),
        "connections": f"{status.connections} of {status.max_connections}",
        "oldest transaction": oldest,
        "waiting mails": str(status.waiting_mails),
    }
    for name, value in facts.items():
        running.say(f"{name:<20}{value}")
    for table in status.tables:
        running.say(f"  {table.name:<24}{_size(table.bytes):>12}  about {table.rows} rows")


def _size(number: int) -> str:
    return f"{number / 1024**2:.1f} MiB"
