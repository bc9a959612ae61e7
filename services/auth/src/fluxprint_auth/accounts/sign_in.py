"""From a person who proved who they are to a session of theirs: the one way, however they proved it."""

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.organisations import repository as organisations
from fluxprint_auth.sessions.service import Sessions, TokenPair


async def complete(session: AsyncSession, user: UserRow, *, sessions: Sessions, client: Client) -> TokenPair:
    """Begin a session for somebody whose first factor was right, in the organisation that they joined first.

    Raises:
        NoOrganisation
    """
    membership = await organisations.first_membership(session, user.id)
    return await sessions.open(session, membership, client=client)
