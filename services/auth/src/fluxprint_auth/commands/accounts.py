"""`list-users`, and what an administrator does to one account: disable, enable, unlock, reset the second factor."""

import argparse
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.administration import repository, service
from fluxprint_auth.administration.service import Administration
from fluxprint_auth.commands import running
from fluxprint_auth.commands.running import Command, CommandFailed
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.pagination import MAX_LIMIT

if TYPE_CHECKING:
    from fluxprint_auth.commands.running import Subparsers

Change = Callable[[AsyncSession, Administration, UUID], Awaitable[UserRow]]

#: What is called, what it does, how that is said, and in words for the help.
_CHANGES: tuple[tuple[str, Change, str, str], ...] = (
    ("disable-user", service.disable, "disabled", "shut somebody out at once; nothing is deleted"),
    ("enable-user", service.enable, "enabled", "let somebody in again"),
    ("unlock-user", service.unlock, "unlocked", "forget somebody's failed logins"),
    (
        "reset-second-factor",
        service.reset_second_factor,
        "without a second factor now, and signed out",
        "take a second factor away that was lost; first make sure that it is them who ask",
    ),
)


def add_to(commands: "Subparsers") -> None:
    """The commands and what they take."""
    listing = running.add(commands, "list-users", list_users, help="list accounts, oldest first")
    listing.add_argument("--email", default=None, metavar="PART", help="only addresses with this in them")
    for name, change, done, text in _CHANGES:
        parser = running.add(commands, name, _changing(name, change, done), help=text)
        parser.add_argument("email", type=running.address)


async def list_users(arguments: argparse.Namespace, settings: AuthSettings) -> None:
    """One line for each account."""
    after_id: UUID | None = None
    async with running.connected(settings, "list-users") as database, database.reading() as session:
        while rows := await repository.users(session, email=arguments.email, after_id=after_id, limit=MAX_LIMIT):
            for row in rows:
                running.say(_line(row))
            after_id = rows[-1].id


def _line(user: UserRow) -> str:
    marks = [
        "administrator" if user.is_administrator else None,
        "not verified" if user.email_verified_at is None else None,
        "disabled" if user.disabled_at is not None else None,
    ]
    return "  ".join([user.email, user.name, f"since {user.created_at:%Y-%m-%d}", *filter(None, marks)])


def _changing(name: str, change: Change, done: str) -> Command:
    async def run(arguments: argparse.Namespace, settings: AuthSettings) -> None:
        async with running.connected(settings, name) as database, database.unit_of_work() as session:
            user = await accounts.by_email(session, arguments.email)
            if user is None:
                raise CommandFailed(f"there is no account with {arguments.email}; list-users shows them")
            await change(session, Administration(mailer=Mailer.of(settings, settings.keyring())), user.id)
        running.say(f"{arguments.email} is {done}")

    return run
