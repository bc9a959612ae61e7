"""The first administrator, made on the command line: `python -m fluxprint_auth create-admin`."""

import asyncio
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from getpass import getpass

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import DBAPIError, IntegrityError

from fluxprint_auth.accounts.credentials import MAX_PASSWORD_CHARS, MIN_PASSWORD_CHARS, check_choice, normalise_email
from fluxprint_auth.accounts.registration import NewAccount, register
from fluxprint_auth.app import make_passwords
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.database import Database
from fluxprint_common.problems import Invalid
from fluxprint_common.schemas import Name

_NAME: TypeAdapter[str] = TypeAdapter(Name)


class CannotCreate(Exception):
    """The administrator was not created; the message says why and what to do."""


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
        CannotCreate
    """
    try:
        email = normalise_email(email)
    except ValueError as error:
        raise CannotCreate(f"{email!r} is no e-mail address: {error}") from None
    for text in (name, organisation):
        try:
            _NAME.validate_python(text)
        except ValidationError:
            raise CannotCreate(f"{text!r} cannot be a name: 1 to 100 characters on one line") from None
    chosen = password()
    if not MIN_PASSWORD_CHARS <= len(chosen) <= MAX_PASSWORD_CHARS:
        raise CannotCreate(f"the password must have {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters")
    try:
        check_choice(chosen, email=email, name=name)
    except Invalid:
        raise CannotCreate("the password must not be the e-mail address or the name") from None
    return Administrator(email=email, name=name, organisation=organisation, password=chosen)


def ask_for_password() -> str:
    """A password from the terminal, typed twice, or the first line of what is piped in.

    Raises:
        CannotCreate
    """
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise CannotCreate("no password came on standard input; pipe one in, or add --generate-password")
        return password
    password = getpass("Password: ")
    if getpass("Once more: ") != password:
        raise CannotCreate("the two passwords differ")
    return password


def generate_password() -> str:
    """A password that nobody knows yet."""
    return secrets.token_urlsafe(18)


def create(administrator: Administrator, settings: AuthSettings) -> str:
    """Create the account with its organisation; returns that one's short name.

    Raises:
        CannotCreate
    """
    try:
        return asyncio.run(_create(administrator, settings))
    except IntegrityError:
        raise CannotCreate(f"there is an account with {administrator.email} already") from None
    except DBAPIError as error:
        reason = str(error.orig).partition("\n")[0]
        raise CannotCreate(f"the database refused ({reason}); are its migrations done?") from None
    except (OSError, TimeoutError) as error:
        raise CannotCreate(f"the database at AUTH_DATABASE_URL does not answer: {error}") from None


async def _create(administrator: Administrator, settings: AuthSettings) -> str:
    passwords = make_passwords(settings)
    database = Database(settings.database_url.get_secret_value(), application="fluxprint-create-admin", pool_size=1)
    try:
        account = NewAccount(
            email=administrator.email,
            name=administrator.name,
            password_hash=await passwords.hash(administrator.password),
            organisation_name=administrator.organisation,
            is_administrator=True,
        )
        async with database.unit_of_work() as session:
            _user, organisation, _membership = await register(session, account, client=None)
        return organisation.slug
    finally:
        passwords.close()
        await database.close()
