"""Rules of verified addresses: an account is there, and its person signed in, once they read mail at its address.

Where verification is required, an answer never tells whether an address has an account, and takes the same work: a look
for the account, a link, a mail. A registration is no account before its link came back: it is kept in that link.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import registration, repository
from fluxprint_auth.accounts.lockout import account_key
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.accounts.problems import InvalidCredentials
from fluxprint_auth.clients import Client
from fluxprint_auth.links import repository as open_links
from fluxprint_auth.links import service as links
from fluxprint_auth.links.mailing import mail_link
from fluxprint_auth.links.models import LinkKind, OneTimeLinkRow
from fluxprint_auth.links.problems import LinkInvalid
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.mail.service import send
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.database import Database

PAGE = "verify-email"


async def begin_registration(
    session: AsyncSession, mailer: Mailer, account: registration.NewAccount, *, lifetime: timedelta
) -> None:
    """Ask an address whether the registration is its own; where it has an account, tell it so."""
    user = await repository.by_email(session, account.email)
    data = {
        "email": account.email,
        "name": account.name,
        "organisation_name": account.organisation_name,
        "password_hash": account.password_hash or "",
    }
    await _send_registration(session, mailer, data, known=user is not None, lifetime=lifetime)


async def ask(session: AsyncSession, mailer: Mailer, user: UserRow, *, lifetime: timedelta) -> None:
    """Ask the address of an account whether it is its own. Where mail is off, nothing happens."""
    if mailer.enabled:
        await mail_link(
            session, mailer, LinkKind.VERIFY_EMAIL, PAGE, email=user.email, user_id=user.id, lifetime=lifetime
        )


async def resend(session: AsyncSession, mailer: Mailer, email: str, *, lifetime: timedelta) -> None:
    """A new link, where one is wanting; the one before is worth nothing any more."""
    user = await repository.by_email(session, email)
    waiting = await open_links.open_for(session, LinkKind.REGISTRATION, account_key(email))
    if user is None and waiting is not None:
        await _send_registration(session, mailer, waiting.data, known=False, lifetime=lifetime)
        return
    wanting = user if user is not None and user.email_verified_at is None and user.disabled_at is None else None
    user_id = wanting.id if wanting else None
    await mail_link(session, mailer, LinkKind.VERIFY_EMAIL, PAGE, email=email, user_id=user_id, lifetime=lifetime)


async def check_password(pool: Database, passwords: Passwords, token: str, password: str) -> None:
    """Refuse a link to whoever did not choose the password of its account.

    Whoever opens the link of a stranger's registration would else own an account that the stranger can enter.

    Raises:
        LinkInvalid, InvalidCredentials
    """
    async with pool.reading() as session:
        link = await links.peek(session, LinkKind.REGISTRATION, LinkKind.VERIFY_EMAIL, token=token)
        user = await repository.get(session, link.user_id) if link.user_id else None
    stored = user.password_hash if user else link.data.get("password_hash")
    if not await passwords.verify(stored, password):
        raise InvalidCredentials("This is not the password that was chosen for this address; register anew with yours.")


async def verify(session: AsyncSession, token: str, *, client: Client) -> UserRow:
    """The person whose address a link proves; a registration becomes an account.

    Raises:
        LinkInvalid. Where the address has an account by now: a violation of `uq_user_email`.
    """
    link = await links.use(session, LinkKind.REGISTRATION, LinkKind.VERIFY_EMAIL, token=token)
    if link.kind == LinkKind.REGISTRATION:
        user = await _register(session, link, client)
    else:
        user = await _verified(session, link)
    record(session, SecurityEvent.EMAIL_VERIFIED, client=client, user_id=user.id)
    return user


async def _register(session: AsyncSession, link: OneTimeLinkRow, client: Client) -> UserRow:
    account = registration.NewAccount(
        email=link.data["email"],
        name=link.data["name"],
        password_hash=link.data["password_hash"],
        organisation_name=link.data["organisation_name"],
        email_verified=True,
    )
    user, _organisation, _membership = await registration.register(session, account, client=client)
    link.data = {}  # the hash of the password has its place now
    return user


async def _verified(session: AsyncSession, link: OneTimeLinkRow) -> UserRow:
    user = await repository.lock(session, link.user_id) if link.user_id else None
    if user is None or not await repository.verify_email(session, user.id, email=link.data["email"]):
        raise LinkInvalid
    await session.refresh(user)
    return user


async def _send_registration(
    session: AsyncSession, mailer: Mailer, data: dict[str, str], *, known: bool, lifetime: timedelta
) -> None:
    email = data["email"]
    token = await links.issue(session, LinkKind.REGISTRATION, subject=account_key(email), lifetime=lifetime, data=data)
    if known:  # nobody learns the token: the one who wanted to register may be somebody else
        await send(session, mailer, "account_exists", to=email, useful_for=lifetime)
        return
    link, until = mailer.link(PAGE, token), datetime.now(UTC) + lifetime
    await send(session, mailer, "registration", to=email, useful_for=lifetime, link=link, until=until)
