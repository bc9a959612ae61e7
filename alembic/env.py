"""Runs migrations as the owner of the database: `MIGRATE_DATABASE_URL`.

`MIGRATE_AUTH_PASSWORD`, `MIGRATE_QUEUE_PASSWORD` and `MIGRATE_CAMERA_PASSWORD`, where given, become the passwords
of the services' roles. Two migrators at once are safe: the second waits, and then finds nothing left to do.
"""

import asyncio
import logging
import os
import time
from importlib import import_module
from logging.config import fileConfig

from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from service_schema import SERVICES, ensure_roles, scram_verifier
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

ADVISORY_LOCK = 0x666C7578  # "flux"; any number, as long as every migrator takes the same one
WAIT_FOR_MIGRATOR_S = 600
LOOK_AGAIN_S = 0.2
LOCK_TIMEOUT = "5s"  # a migration gives up rather than stop the traffic; concurrently.py waits, which stops none
CONNECT_TIMEOUT_S = 10


log = logging.getLogger("alembic.runtime.migration")


def command_name() -> str:
    """What the command line asks for: `upgrade`, `check`."""
    options = context.config.cmd_opts
    return "" if options is None else str(options.cmd[0].__name__)


def known_metadata() -> dict[str, MetaData]:
    """The tables as the services declare them, by schema, for the commands that compare them with the database.

    The others don't wait for the services' imports, which take longer than the migrations; and a migration image
    holds no services.
    """
    found: dict[str, MetaData] = {}
    if command_name() not in {"check", "revision"}:
        return found
    for service in SERVICES:
        try:
            found[service] = import_module(f"fluxprint_{service}.models").metadata
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith(f"fluxprint_{service}"):
                raise
    return found


def database_url() -> str:
    url = os.environ.get("MIGRATE_DATABASE_URL")
    if not url:
        raise CommandError("set MIGRATE_DATABASE_URL to the owner's URL: postgresql+asyncpg://user:password@host/name")
    return url


def password_verifiers() -> dict[str, str]:
    """What the environment gives as passwords, by service."""
    verifiers = {}
    for service in SERVICES:
        variable = f"MIGRATE_{service.upper()}_PASSWORD"
        if password := os.environ.get(variable):
            try:
                verifiers[service] = scram_verifier(password)
            except ValueError as error:
                raise CommandError(f"{variable}: {error}") from None
    return verifiers


def _wait_for_other_migrators(connection: Connection) -> None:
    """Take the lock, which belongs to the connection, not to a transaction: a migration may commit in between.

    Asked for again and again, with no transaction open meanwhile: CREATE INDEX CONCURRENTLY waits for every
    transaction that is older than itself, so two migrators would wait for each other.
    """
    gives_up_at = time.monotonic() + WAIT_FOR_MIGRATOR_S
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": ADVISORY_LOCK}):
        connection.rollback()
        if time.monotonic() > gives_up_at:
            raise CommandError("another migration has been running for 10 minutes; try again when it has ended")
        time.sleep(LOOK_AGAIN_S)


def later_revision() -> str | None:
    """The database's revision, where it is past all that this version has: somebody went back to an older version,
    which fits the schema of the one after it."""
    newest = ScriptDirectory.from_config(context.config).get_current_head() or ""
    current = context.get_context().get_current_revision() or ""
    return current if current > newest else None  # they are numbers of four digits


def migrate(connection: Connection) -> None:
    _wait_for_other_migrators(connection)
    connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
    ensure_roles(connection, password_verifiers())
    connection.commit()

    metadata = known_metadata()
    context.configure(
        connection=connection,
        target_metadata=list(metadata.values()) or None,
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name in metadata,
        compare_server_default=True,
        transaction_per_migration=True,
        version_table_schema="public",
    )
    if command_name() == "upgrade" and (later := later_revision()):
        log.warning("the database is at %s, of a later version; it fits this one too, so nothing is done", later)
        return
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    engine = create_async_engine(
        database_url(),
        poolclass=NullPool,
        connect_args={"timeout": CONNECT_TIMEOUT_S, "server_settings": {"application_name": "fluxprint-migrate"}},
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if context.is_offline_mode():
    raise CommandError("migrations run on a database, not as a script (--sql): they create roles as they need them")
if context.config.config_file_name is not None:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
asyncio.run(main())
