"""One-time links: 256 random bits that are sent to an address, and prove by coming back that somebody reads it."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.links import repository
from fluxprint_auth.links.models import LinkKind, OneTimeLinkRow
from fluxprint_auth.links.problems import LinkInvalid


async def issue(
    session: AsyncSession,
    kind: LinkKind,
    *,
    subject: str,
    lifetime: timedelta,
    user_id: UUID | None = None,
    data: Mapping[str, str] | None = None,
) -> str:
    """A new token; the open one of the same kind and subject is worth nothing from now on.

    Args:
        subject: whom it is about, also where there is no account: the id of a user, the key of an address.
        user_id: with that account the link goes too.
    """
    token = opaque.new_token(opaque.LINK)
    await repository.replace(
        session,
        kind,
        subject=subject,
        user_id=user_id,
        token_hash=opaque.digest(token),
        data=data or {},
        lifetime=lifetime,
    )
    return token


async def peek(session: AsyncSession, *kinds: LinkKind, token: str) -> OneTimeLinkRow:
    """What a link is about, without using it.

    Raises:
        LinkInvalid
    """
    row = None
    if opaque.is_well_formed(opaque.LINK, token):
        row = await repository.find(session, frozenset(kinds), opaque.digest(token))
    if row is None:
        raise LinkInvalid
    return row


async def use(session: AsyncSession, *kinds: LinkKind, token: str) -> OneTimeLinkRow:
    """Use a link up, if this transaction commits. Of many at once, one succeeds.

    Raises:
        LinkInvalid
    """
    row = None
    if opaque.is_well_formed(opaque.LINK, token):
        row = await repository.mark_used(session, frozenset(kinds), opaque.digest(token))
    if row is None:
        raise LinkInvalid
    return row
