"""`create-admin EMAIL`: the first administrator, with an organisation."""

import argparse
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from getpass import getpass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import IntegrityError

from fluxprint_auth.accounts.credentials import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, normalise_email
from fluxprint_auth.accounts.registration import NewAccount, register
from fluxprint_auth.accounts.strength import Owner, weakness_of
from fluxprint_auth.app import make_passwords
from fluxprint_auth.commands import running
from fluxprint_auth.commands.running import CommandFailed
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.schemas import Name

if TYPE_CHECKING:
    from fluxprint_auth.commands.running import Subparsers

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def add_to(commands: "Subparsers") -> None:
    """The command and what it takes."""
    parser = running.add(commands, "create-admin", run, help="create the first administrator and an organisation")
    parser.add_argument("email")
    parser.add_argument("--name", default="Administrator")
    parser.add_argument("--organisation", default="FluxPrint")
    parser.add_argument("--generate-password", action="store_true", help="make a password and print it, once")


async def run(arguments: argparse.Namespace, settings: AuthSettings) -> None:
    """Create the administrator and say so."""
    password = generate_password if arguments.generate_password else ask_for_password
    account = checked(
        email=arguments.email, name=arguments.name, organisation=arguments.organisation, password=password
    )
    slug = await create(account, settings)
    running.say(f"administrator {account.email} created, owner of the organisation {slug}")
    if arguments.generate_password:
        running.say(f"password: {account.password}")


@dataclass(frozen=True, kw_only=True)
class Administrator:
    """Who is to look after the installation."""

    email: str
    name: str
    organisation: str
    password: str = field(repr=False)


def checked(*, email: str, name: str, organisation: str, password: Callable[[], str]) -> Administrator:
    """The administrator, from what was typed; the password is asked for last.

    Raises:
        CommandFailed
    """
    try:
        email = normalise_email(email)
    except ValueError as error:
        raise CommandFailed(f"{email!r} is no e-mail address: {error}") from None
    for text in (name, organisation):
        try:
            _NAME.validate_python(text)
        except ValidationError:
            raise CommandFailed(f"{text!r} cannot be a name: 1 to 100 characters on one line") from None
    chosen = password()
    if not MIN_PASSWORD_CHARS <= len(chosen) <= MAX_PASSWORD_CHARS:
        raise CommandFailed(f"the password must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters")
    weakness = weakness_of(chosen, Owner(email=email, name=name, organisation=organisation))
    if weakness is not None:
        raise CommandFailed(f"the password is too easy to guess. {weakness}")
    return Administrator(email=email, name=name, organisation=organisation, password=chosen)


def ask_for_password() -> str:
    """A password from the terminal, typed twice, or the first line of what is piped in.

    Raises:
        CommandFailed
    """
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CommandFailed("no password came on standard input; pipe one in, or add --generate-password")
        return password
    password = getpass("Password: ")
    if getpass("Once more: ") != password:
        raise CommandFailed("the two passwords differ")
    return password


def generate_password() -> str:
    """A password that nobody knows yet."""
    return secrets.token_urlsafe(18)


async def create(administrator: Administrator, settings: AuthSettings) -> str:
    """Create the account with its organisation; returns that one's short name.

    Raises:
        CommandFailed: there is an account with the address.
    """
    passwords = make_passwords(settings)
    try:
        account = NewAccount(
            email=administrator.email,
            name=administrator.name,
            password_hash=await passwords.hash(administrator.password),
            organisation_name=administrator.organisation,
            is_administrator=True,
            email_verified=True,  # whoever has the command line says so
        )
        async with running.connected(settings, "create-admin") as database, database.unit_of_work() as session:
            _user, organisation, _membership = await register(session, account, client=None)
        return organisation.slug
    except IntegrityError:
        raise CommandFailed(f"there is an account with {administrator.email} already") from None
    finally:
        passwords.close()
