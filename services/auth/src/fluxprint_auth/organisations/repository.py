"""SQL of organisations and their members."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_common.ids import new_id


async def insert(session: AsyncSession, *, name: str, slug: str) -> OrganisationRow | None:
    """A new organisation, or None where the slug is taken."""
    statement = (
        postgresql.insert(OrganisationRow)
        .values(id=new_id(), name=name, slug=slug)
        .on_conflict_do_nothing(constraint="uq_organisation_slug")
        .returning(OrganisationRow)
    )
    return await session.scalar(statement)


async def insert_membership(
    session: AsyncSession, *, organisation_id: UUID, user_id: UUID, role: MemberRole
) -> MembershipRow:
    """A new member."""
    row = MembershipRow(id=new_id(), organisation_id=organisation_id, user_id=user_id, role=role)
    session.add(row)
    await session.flush()
    return row


async def get(session: AsyncSession, organisation_id: UUID) -> OrganisationRow | None:
    """An organisation."""
    return await session.get(OrganisationRow, organisation_id)


async def membership(session: AsyncSession, *, user_id: UUID, organisation_id: UUID) -> MembershipRow | None:
    """What a person is in an organisation."""
    return await session.scalar(
        select(MembershipRow).where(MembershipRow.user_id == user_id, MembershipRow.organisation_id == organisation_id)
    )


async def first_membership(session: AsyncSession, user_id: UUID) -> MembershipRow | None:
    """The organisation that a person has been in for longest."""
    return await session.scalar(
        select(MembershipRow).where(MembershipRow.user_id == user_id).order_by(MembershipRow.id).limit(1)
    )


async def members(
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
