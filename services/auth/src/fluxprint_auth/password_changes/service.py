"""Rules of new passwords: whoever sets one is alone with the account afterwards."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import login, repository
from fluxprint_auth.accounts.lockout import account_key
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.accounts.strength import Owner
from fluxprint_auth.api_keys import service as api_keys
from fluxprint_auth.clients import Client
from fluxprint_auth.factors import service as factors
from fluxprint_auth.links import repository as open_links
from fluxprint_auth.links import service as links
from fluxprint_auth.links.mailing import mail_link
from fluxprint_auth.links.models import LinkKind
from fluxprint_auth.links.problems import LinkInvalid
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.mail.service import send
from fluxprint_auth.outside import repository as outside
from fluxprint_auth.providers import repository as identities
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions.models import EndReason
from fluxprint_auth.sessions.service import Sessions
from fluxprint_auth.trusted_devices import repository as trusted_devices
from fluxprint_common.database import Database

PAGE = "reset-password"


async def ask_for_reset(
    session: AsyncSession, mailer: Mailer, email: str, *, lifetime: timedelta, client: Client
) -> None:
    """Send a link for a new password. Without an account the same is done, and the mail is sent to nobody."""
    user = await repository.by_email(session, email)
    # A password would outlive the word of the outside issuer, which is all that such a person is here by.
    comes_from_outside = await outside.is_outsider(session, user.id if user else None)
    if user is not None and (user.disabled_at is not None or comes_from_outside):
        user = None
    user_id = user.id if user else None
    await mail_link(session, mailer, LinkKind.PASSWORD_RESET, PAGE, email=email, user_id=user_id, lifetime=lifetime)
    record(
        session,
        SecurityEvent.PASSWORD_RESET_REQUESTED,
        client=client,
        user_id=user_id,
        outcome=Outcome.SUCCESS if user else Outcome.FAILURE,
        reason=None if user else "unknown_account",
        account=account_key(email)[:16],
    )


async def hash_for_reset(pool: Database, passwords: Passwords, token: str, password: str) -> str:
    """The hash of the password that a link is to set. No connection is held meanwhile, and no link used up.

    Raises:
        LinkInvalid, Invalid
    """
    async with pool.reading() as reading:
        link = await links.peek(reading, LinkKind.PASSWORD_RESET, token=token)
        user = await repository.get(reading, link.user_id) if link.user_id else None
    if user is None:
        raise LinkInvalid
    await passwords.refuse_guessable(password, Owner(email=user.email, name=user.name))
    return await passwords.hash(password)


async def reset(
    session: AsyncSession, mailer: Mailer, sessions: Sessions, token: str, password_hash: str, *, client: Client
) -> None:
    """Set the password of the account that a link was sent to, and end whatever was begun with another one.

    Nobody is signed in by that: where there is a second factor, it is asked for as always.

    Raises:
        LinkInvalid
    """
    link = await links.use(session, LinkKind.PASSWORD_RESET, token=token)
    user = await repository.lock(session, link.user_id) if link.user_id else None
    if user is None or user.email != link.data["email"] or user.disabled_at is not None:
        raise LinkInvalid
    if user.email_verified_at is None:
        # Until now anybody could have made this account, and left themselves another way in, or a lock.
        await identities.delete_of_user(session, user.id)
        await factors.reset(session, user.id, client=client)
        await api_keys.revoke_of_unproved(session, user.id, client=client)
    await repository.verify_email(session, user.id, email=user.email)
    await login.unlock(session, user.email)
    record(session, SecurityEvent.PASSWORD_RESET, client=client, user_id=user.id)
    await _replace(session, mailer, sessions, user, password_hash, client=client, except_id=None)


async def change(
    session: AsyncSession,
    mailer: Mailer,
    sessions: Sessions,
    user: UserRow,
    password_hash: str,
    *,
    client: Client,
    session_id: UUID,
) -> None:
    """Set the password of somebody who is signed in, and end all their other sessions."""
    record(session, SecurityEvent.PASSWORD_CHANGED, client=client, user_id=user.id, session_id=session_id)
    await _replace(session, mailer, sessions, user, password_hash, client=client, except_id=session_id)


async def _replace(
    session: AsyncSession,
    mailer: Mailer,
    sessions: Sessions,
    user: UserRow,
    password_hash: str,
    *,
    client: Client,
    except_id: UUID | None,
) -> None:
    await repository.set_password(session, user.id, password_hash)
    await open_links.delete_of_user(session, user.id)
    await trusted_devices.delete_of(session, user.id)
    await factors.forget_challenges(session, user.id)
    await sessions.end_all(session, user.id, EndReason.PASSWORD_CHANGED, client=client, except_id=except_id)
    others = "All other devices are" if except_id else "All devices are"
    await send(
        session,
        mailer,
        "password_changed",
        to=user.email,
        at=datetime.now(UTC),
        devices=f"{others} signed out.",
    )
