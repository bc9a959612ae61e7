"""SQL of organisations and who belongs to them."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Row, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

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


async def lock(session: AsyncSession, organisation_id: UUID) -> OrganisationRow | None:
    """An organisation, locked until the end of the transaction: whoever changes its members does that first.

    Others may go on to sign in to it meanwhile.
    """
    statement = (
        select(OrganisationRow)
        .where(OrganisationRow.id == organisation_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return await session.scalar(statement)


async def membership(session: AsyncSession, *, user_id: UUID, organisation_id: UUID) -> MembershipRow | None:
    """What a person is in an organisation."""
    return await session.scalar(
        select(MembershipRow)
        .where(MembershipRow.user_id == user_id, MembershipRow.organisation_id == organisation_id)
        .execution_options(populate_existing=True)
    )


async def first_membership(session: AsyncSession, user_id: UUID) -> MembershipRow | None:
    """The organisation that a person has been in for longest."""
    return await session.scalar(
        select(MembershipRow).where(MembershipRow.user_id == user_id).order_by(MembershipRow.id).limit(1)
    )


async def of_member(
    session: AsyncSession, user_id: UUID, *, after_id: UUID | None, limit: int
) -> Sequence[Row[MembershipRow, OrganisationRow]]:
    """A person's memberships with their organisations, oldest first."""
    statement = (
        select(MembershipRow, OrganisationRow)
        .join(OrganisationRow, OrganisationRow.id == MembershipRow.organisation_id)
        .where(MembershipRow.user_id == user_id)
        .order_by(MembershipRow.id)
        .limit(limit)
    )
    if after_id is not None:
        statement = statement.where(MembershipRow.id > after_id)
    return (await session.execute(statement)).all()


async def count_owned(session: AsyncSession, user_id: UUID) -> int:
    """How many organisations a person owns."""
    statement = select(func.count()).where(MembershipRow.user_id == user_id, MembershipRow.role == MemberRole.OWNER)
    return (await session.execute(statement)).scalar_one()
