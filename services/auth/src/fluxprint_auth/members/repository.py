"""SQL of an organisation's members. Whoever changes them has locked the organisation (`organisations.repository`)."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.organisations.roles import MemberRole


async def after(
    session: AsyncSession, organisation_id: UUID, *, after_id: UUID | None, limit: int
) -> Sequence[Row[MembershipRow, UserRow]]:
    """Members with their accounts, oldest first."""
    statement = (
        select(MembershipRow, UserRow)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(MembershipRow.organisation_id == organisation_id)
        .order_by(MembershipRow.id)
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(MembershipRow.id > after_id)
    return (await session.execute(statement)).all()


async def get(session: AsyncSession, organisation_id: UUID, user_id: UUID) -> Row[MembershipRow, UserRow] | None:
    """A member with their account, as they are now."""
    statement = (
        select(MembershipRow, UserRow)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(MembershipRow.organisation_id == organisation_id, MembershipRow.user_id == user_id)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).one_or_none()


async def has_other_owner(session: AsyncSession, organisation_id: UUID, *, than: UUID) -> bool:
    """Whether somebody else owns the organisation who can sign in: a disabled owner looks after nothing."""
    statement = (
        select(MembershipRow.id)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(
            MembershipRow.organisation_id == organisation_id,
            MembershipRow.role == MemberRole.OWNER,
            MembershipRow.user_id != than,
            UserRow.disabled_at.is_(None),
        )
        .limit(1)
    )
    return await session.scalar(statement) is not None


async def set_role(session: AsyncSession, membership_id: UUID, role: MemberRole) -> None:
    """Give a member another role."""
    await session.execute(update(MembershipRow).where(MembershipRow.id == membership_id).values(role=role))


async def remove(session: AsyncSession, membership_id: UUID) -> None:
    """End a membership."""
    await session.execute(delete(MembershipRow).where(MembershipRow.id == membership_id))
