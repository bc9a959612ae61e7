"""What a member can still reach: ended with the membership, renewed with another role."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.clients import Client
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.sessions.service import Sessions


class Access:
    """Ends and renews what a person holds of one organisation: sessions, API keys, and the access tokens of both."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def end(self, session: AsyncSession, membership: MembershipRow, *, client: Client, actor_id: UUID) -> None:
        """The person is no member any more."""

    async def renew(self, session: AsyncSession, membership: MembershipRow) -> None:
        """The person has another role: no token with the old one is believed, and each is refreshed to the new."""
