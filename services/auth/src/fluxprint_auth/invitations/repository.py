"""SQL of invitations. Whoever changes one has locked its organisation (`organisations.repository.lock`)."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.invitations.models import InvitationRow
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_OPEN = InvitationRow.accepted_at.is_(None) & InvitationRow.revoked_at.is_(None)


async def insert(
    session: AsyncSession,
    *,
    organisation_id: UUID,
    email: str,
    role: MemberRole,
    token_hash: bytes,
    invited_by: UUID,
    expires_at: datetime,
) -> InvitationRow:
    """A new invitation; there must be no open one for the address."""
    row = InvitationRow(
        id=new_id(),
        organisation_id=organisation_id,
        email=email,
        role=role,
        token_hash=token_hash,
        invited_by=invited_by,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return row


async def get_open(session: AsyncSession, invitation_id: UUID, *, organisation_id: UUID) -> InvitationRow | None:
    """An open invitation of that organisation, expired or not."""
    return await session.scalar(
        select(InvitationRow).where(
            InvitationRow.id == invitation_id, InvitationRow.organisation_id == organisation_id, _OPEN
        )
    )


async def open_for(session: AsyncSession, email: str, *, organisation_id: UUID) -> InvitationRow | None:
    """The open invitation of an address to that organisation, expired or not."""
    return await session.scalar(
        select(InvitationRow).where(
            InvitationRow.organisation_id == organisation_id, InvitationRow.email == email, _OPEN
        )
    )


async def after(
    session: AsyncSession, organisation_id: UUID, *, after_id: UUID | None, limit: int
) -> Sequence[InvitationRow]:
    """Open invitations of that organisation, oldest first."""
    statement = (
        select(InvitationRow)
        .where(InvitationRow.organisation_id == organisation_id, _OPEN)
        .order_by(InvitationRow.id)
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(InvitationRow.id > after_id)
    return (await session.scalars(statement)).all()


async def count_open(session: AsyncSession, organisation_id: UUID) -> int:
    """How many invitations of that organisation are open."""
    statement = select(func.count()).where(InvitationRow.organisation_id == organisation_id, _OPEN)
    return (await session.execute(statement)).scalar_one()


async def valid(session: AsyncSession, token_hash: bytes) -> InvitationRow | None:
    """The invitation with that token, as it is now, if it can be accepted and its inviter can still sign in."""
    statement = (
        select(InvitationRow)
        .join(UserRow, UserRow.id == InvitationRow.invited_by)
        .where(
            InvitationRow.token_hash == token_hash,
            InvitationRow.expires_at > func.now(),
            UserRow.disabled_at.is_(None),
            _OPEN,
        )
        .execution_options(populate_existing=True)
    )
    return await session.scalar(statement)


async def is_member(session: AsyncSession, email: str, *, organisation_id: UUID) -> bool:
    """Whether the person with that address is in the organisation."""
    statement = (
        select(MembershipRow.id)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(MembershipRow.organisation_id == organisation_id, UserRow.email == email)
    )
    return await session.scalar(statement) is not None


async def mark_verified(session: AsyncSession, user_id: UUID) -> None:
    """The person has shown that they read what is sent to their address."""
    await session.execute(
        update(UserRow)
        .where(UserRow.id == user_id, UserRow.email_verified_at.is_(None))
        .values(email_verified_at=func.now())
    )


async def delete_over(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` invitations that ended or expired longer ago than `kept`; returns how many."""
    before = func.now() - kept
    table = InvitationRow
    over = or_(table.expires_at < before, table.accepted_at < before, table.revoked_at < before)
    ids = select(table.id).where(over).limit(limit)
    return rows_affected(await session.execute(delete(table).where(table.id.in_(ids))))
