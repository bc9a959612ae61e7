"""Rules of organisations and their members."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.organisations import repository
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.organisations.problems import RoleNotBelowYours
from fluxprint_auth.organisations.roles import MemberRole, may_give
from fluxprint_auth.organisations.slugs import candidates
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound, Unavailable


async def found(session: AsyncSession, *, name: str, owner_id: UUID) -> tuple[OrganisationRow, MembershipRow]:
    """Make an organisation with its first owner. Any name will do, also one that others have."""
    for slug in candidates(name):
        organisation = await repository.insert(session, name=name, slug=slug)
        if organisation is not None:
            membership = await repository.insert_membership(
                session, organisation_id=organisation.id, user_id=owner_id, role=MemberRole.OWNER
            )
            return organisation, membership
    raise Unavailable("No short name for this organisation was free; try again.")


async def get(session: AsyncSession, organisation_id: UUID) -> OrganisationRow:
    """An organisation.

    Raises:
        NotFound
    """
    organisation = await repository.get(session, organisation_id)
    if organisation is None:
        raise NotFound
    return organisation


def check_role(giver: Principal, role: MemberRole) -> None:
    """Refuse a role that is not below the giver's own.

    Raises:
        RoleNotBelowYours
    """
    if not may_give(MemberRole(giver.role), role):
        raise RoleNotBelowYours


async def add_member(
    session: AsyncSession,
    giver: Principal,
    *,
    email: str,
    name: str,
    role: MemberRole,
    password_hash: str,
    client: Client,
) -> tuple[MembershipRow, UserRow]:
    """Make an account for somebody and put them into the giver's organisation.

    An address that has an account violates `uq_user_email`: nobody is put anywhere unasked.

    Raises:
        RoleNotBelowYours
    """
    check_role(giver, role)
    user = await accounts.insert(session, email=email, name=name, password_hash=password_hash, is_administrator=False)
    membership = await repository.insert_membership(
        session, organisation_id=giver.organisation_id, user_id=user.id, role=role
    )
    record(
        session,
        SecurityEvent.MEMBER_ADDED,
        client=client,
        organisation_id=giver.organisation_id,
        user_id=giver.subject,
        session_id=giver.session_id,
        member=str(user.id),
        role=role.value,
    )
    return membership, user
