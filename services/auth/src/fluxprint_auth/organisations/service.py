"""Rules of organisations."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.clients import Client
from fluxprint_auth.organisations import repository
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.organisations.problems import TooManyOrganisations
from fluxprint_auth.organisations.roles import MemberRole
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


async def create(
    session: AsyncSession, principal: Principal, *, name: str, at_most: int, client: Client
) -> OrganisationRow:
    """Make another organisation that the caller owns.

    Args:
        at_most: how many organisations one person may own. Requests at the same time count one after the other.

    Raises:
        TooManyOrganisations, NotFound
    """
    if await accounts.lock(session, principal.subject) is None:
        raise NotFound
    if await repository.count_owned(session, principal.subject) >= at_most:
        raise TooManyOrganisations
    organisation, _membership = await found(session, name=name, owner_id=principal.subject)
    record(
        session,
        SecurityEvent.ORGANISATION_CREATED,
        client=client,
        organisation_id=organisation.id,
        user_id=principal.subject,
        session_id=principal.session_id,
    )
    return organisation


async def rename(session: AsyncSession, principal: Principal, *, name: str, client: Client) -> OrganisationRow:
    """Give the caller's organisation another name. Its slug stays: addresses were made from it.

    Raises:
        NotFound
    """
    organisation = await repository.lock(session, principal.organisation_id)
    if organisation is None:
        raise NotFound
    if organisation.name != name:
        before, organisation.name = organisation.name, name
        record(
            session,
            SecurityEvent.ORGANISATION_CHANGED,
            client=client,
            organisation_id=organisation.id,
            user_id=principal.subject,
            session_id=principal.session_id,
            before=before,
            after=name,
        )
    return organisation
