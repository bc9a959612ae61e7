"""What the commands share: how they are named, how they fail, and how they reach the database."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from fluxprint_auth.accounts.credentials import normalise_email
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.settings import AuthSettings
from fluxprint_common import doorbell, logs
from fluxprint_common.database import Database
from fluxprint_common.problems import ServiceError

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # argparse names this type nowhere else

Command = Callable[[argparse.Namespace, AuthSettings], Awaitable[None]]


class CommandFailed(Exception):
    """It was not done; the message says why and what to do."""


def add(commands: "Subparsers", name: str, run: Command, *, help: str) -> argparse.ArgumentParser:
    """A command of that name; what it takes is added to the parser that comes back."""
    parser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(run=run)
    return parser


def execute(arguments: argparse.Namespace, settings: AuthSettings) -> None:
    """Run the command that was parsed. Where it fails, say why on standard error and leave with status 1."""
    logs.configure(service="auth", level="WARNING", json=False)
    try:
        asyncio.run(attempt(arguments.run(arguments, settings)))
    except CommandFailed as error:
        sys.stderr.write(f"{arguments.command}: {error}\n")
        raise SystemExit(1) from None


async def attempt(work: Awaitable[object]) -> None:
    """Do it, with every expected failure in words.

    Raises:
        CommandFailed
    """
    try:
        await work
    except ServiceError as error:
        raise CommandFailed(error.detail) from None
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise CommandFailed(f"the database refused ({reason}); are its migrations done?") from None
    except (OSError, TimeoutError) as error:
        raise CommandFailed(f"the database at AUTH_DATABASE_URL does not answer: {error}") from None


@asynccontextmanager
async def connected(settings: AuthSettings, command: str) -> AsyncIterator[Database]:
    """The database, under the command's name, until the block ends. Then the services hear what was revoked in it."""
    database = Database(settings.database_url.get_secret_value(), application=f"fluxprint-{command}"[:63], pool_size=2)
    redis = doorbell.connect(settings.redis_url.get_secret_value()) if settings.redis_url else None
    publisher = doorbell.Publisher(redis)
    database.sessions.configure(info=revocations.ringing(publisher))
    try:
        yield database
    finally:
        await publisher.flush()
        if redis is not None:
            await redis.aclose()
        await database.close()


def address(text: str) -> str:
    """A normalised e-mail address, as an argument's type."""
    try:
        return normalise_email(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no e-mail address: {error}") from None


def say(line: str) -> None:
    """One line of a command's answer."""
    sys.stdout.write(f"{line}\n")
