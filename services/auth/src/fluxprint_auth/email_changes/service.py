"""Rules of new addresses: the old one and the new one both confirm, in any order."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.links import repository as open_links
from fluxprint_auth.links import service as links
from fluxprint_auth.links.models import LinkKind, OneTimeLinkRow
from fluxprint_auth.links.problems import LinkInvalid
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.mail.service import send
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions.models import EndReason
from fluxprint_auth.sessions.service import Sessions
from fluxprint_common.ids import new_id

PAGE = "confirm-email"
_OTHER = {LinkKind.EMAIL_CHANGE_OLD: LinkKind.EMAIL_CHANGE_NEW, LinkKind.EMAIL_CHANGE_NEW: LinkKind.EMAIL_CHANGE_OLD}


async def ask(
    session: AsyncSession,
    mailer: Mailer,
    user: UserRow,
    new_email: str,
    *,
    lifetime: timedelta,
    session_id: UUID,
    client: Client,
) -> None:
    """Ask both addresses. A new one that has an account is told so, and who asked is not: it never confirms."""
    taken = await repository.by_email(session, new_email) is not None
    data = {"change": new_id().hex, "old": user.email, "new": new_email, "session": str(session_id)}
    until = datetime.now(UTC) + lifetime
    for kind, to in ((LinkKind.EMAIL_CHANGE_OLD, user.email), (LinkKind.EMAIL_CHANGE_NEW, new_email)):
        token = await links.issue(session, kind, subject=str(user.id), user_id=user.id, lifetime=lifetime, data=data)
        if taken and kind is LinkKind.EMAIL_CHANGE_NEW:
            await send(session, mailer, "email_change_taken", to=to, useful_for=lifetime)
            continue
        link = mailer.link(PAGE, token)
        await send(session, mailer, kind.value, to=to, useful_for=lifetime, link=link, until=until, new_email=new_email)
    record(session, SecurityEvent.EMAIL_CHANGE_REQUESTED, client=client, user_id=user.id, session_id=session_id)


async def confirm(session: AsyncSession, mailer: Mailer, sessions: Sessions, token: str, *, client: Client) -> bool:
    """Confirm one of both addresses; True where that was the second one, and the account has the new address now.

    Raises:
        LinkInvalid. Where the new address has an account by now: a violation of `uq_user_email`.
    """
    seen = await links.peek(session, *_OTHER, token=token)
    # The account first: of both confirmations at once, the second sees the first.
    user = await repository.lock(session, seen.user_id) if seen.user_id else None
    if user is None or user.disabled_at is not None or user.email != seen.data["old"]:
        raise LinkInvalid
    link = await links.use(session, *_OTHER, token=token)
    other = _OTHER[LinkKind(link.kind)]
    if not await open_links.used_with(session, other, str(user.id), change=link.data["change"]):
        return False
    await _change(session, mailer, sessions, user, link, client=client)
    return True


async def _change(
    session: AsyncSession, mailer: Mailer, sessions: Sessions, user: UserRow, link: OneTimeLinkRow, *, client: Client
) -> None:
    old, new = link.data["old"], link.data["new"]
    await repository.set_email(session, user.id, new)
    await open_links.delete_of_user(session, user.id)  # what was sent to the old address opens nothing any more
    record(session, SecurityEvent.EMAIL_CHANGED, client=client, user_id=user.id)
    await sessions.end_all(
        session, user.id, EndReason.EMAIL_CHANGED, client=client, except_id=UUID(link.data["session"])
    )
    for to in (old, new):
        await send(session, mailer, "email_changed", to=to, at=datetime.now(UTC), new_email=new)
