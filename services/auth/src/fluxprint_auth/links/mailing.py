"""Sending a link to the address of an account, if there is one."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.lockout import account_key
from fluxprint_auth.links import service as links
from fluxprint_auth.links.models import LinkKind
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.mail.service import send


async def mail_link(
    session: AsyncSession,
    mailer: Mailer,
    kind: LinkKind,
    page: str,
    *,
    email: str,
    user_id: UUID | None,
    lifetime: timedelta,
) -> None:
    """Mail a new link, by the template that is called as its kind is.

    Args:
        page: what the link leads to.
        user_id: whose address it is; None: the same is done, at the same cost, and the mail is sent to nobody.
    """
    token = await links.issue(
        session, kind, subject=account_key(email), user_id=user_id, lifetime=lifetime, data={"email": email}
    )
    await send(
        session,
        mailer,
        kind.value,
        to=email if user_id else None,
        useful_for=lifetime,
        link=mailer.link(page, token),
        until=datetime.now(UTC) + lifetime,
    )
