"""What a member can still reach: ended with the membership, renewed with another role. Change that first."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.api_keys import service as api_keys
from fluxprint_auth.clients import Client
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.sessions.models import EndReason
from fluxprint_auth.sessions.service import Sessions


async def end(session: AsyncSession, membership: MembershipRow, *, client: Client, actor_id: UUID) -> None:
    """The person is no member any more: their sessions in this organisation end, and their keys of it."""
    user_id, organisation_id = membership.user_id, membership.organisation_id
    await Sessions.end_all(
        session,
        user_id,
        EndReason.MEMBERSHIP_ENDED,
        client=client,
        actor_id=actor_id,
        organisation_id=organisation_id,
    )
    await api_keys.revoke_of_member(session, user_id, organisation_id, client=client, actor_id=actor_id)
    await revocations.tell_of_person(session, user_id)


async def renew(session: AsyncSession, membership: MembershipRow) -> None:
    """The person has another role: no access token with the old one is believed; the next one has the new."""
    user_id, organisation_id = membership.user_id, membership.organisation_id
    await Sessions.renew_access(session, user_id, organisation_id=organisation_id)
    await api_keys.renew_of_member(session, user_id, organisation_id)
    await revocations.tell_of_person(session, user_id)
