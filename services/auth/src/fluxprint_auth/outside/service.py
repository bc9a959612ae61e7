"""People whom a trusted outside issuer vouches for: they appear at first sight, and are what the mapping says."""

import time
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keys.access_tokens import AccessToken, AccessTokens
from fluxprint_auth.members import access
from fluxprint_auth.members import repository as members
from fluxprint_auth.organisations import repository as organisations
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.outside import repository
from fluxprint_auth.outside.mapping import MAX_SUBJECT_CHARS, ClaimMapping, Outsider, Unmapped
from fluxprint_auth.outside.models import OutsideIdentityRow
from fluxprint_auth.outside.problems import OutsideTokenRefused
from fluxprint_auth.outside.tokens import OutsideVerifier
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions.devices import device_of
from fluxprint_common.database import Database
from fluxprint_common.ids import new_id
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Role
from fluxprint_common.tokens import Claims, TokenError

log = get_logger(__name__)

TOKEN_S = 300
SESSION_LASTS = timedelta(days=30)
#: No mail gets there, and nobody can register with it (RFC 2606, 2).
_NO_ADDRESS = "outside.invalid"


class OutsideIssuer:
    """The one outside issuer whose tokens are accepted."""

    def __init__(self, name: str, verifier: OutsideVerifier, mapping: ClaimMapping) -> None:
        self._name = name
        self._verifier = verifier
        self._mapping = mapping

    async def exchange(self, database: Database, issuer: AccessTokens, token: str, *, client: Client) -> AccessToken:
        """An access token of ours for one of theirs.

        Raises:
            OutsideTokenRefused. Unavailable: the issuer's keys cannot be had.
        """
        try:
            claims = await self._verifier.verify(token)
        except TokenError as error:
            # Anybody can send what is not genuine: that is a line in the log, and no row that fills a table.
            log.info("outside_token_refused", reason=error.reason, address=client.address)
            raise OutsideTokenRefused from None
        async with database.unit_of_work() as session:
            try:
                # What was begun for somebody who is refused in the end is undone; that they were refused is kept.
                async with session.begin_nested():
                    return await self._access(session, issuer, self._mapping.read(claims), client)
            except Unmapped as error:
                record(
                    session,
                    SecurityEvent.OUTSIDE_TOKEN_REFUSED,
                    client=client,
                    outcome=Outcome.FAILURE,
                    reason=error.reason,
                    issuer=self._name,
                    subject=_shown(claims),
                )
                raise OutsideTokenRefused from None

    async def _access(self, session: AsyncSession, issuer: AccessTokens, who: Outsider, client: Client) -> AccessToken:
        organisation_id = await repository.organisation_of(session, who.organisation)
        if organisation_id is None:
            raise Unmapped("organisation_unknown")
        identity = await repository.lock(session, issuer=self._name, subject=who.subject)
        if identity is None:
            identity = await self._appear(session, who, organisation_id, client)
        else:
            # The membership before the user: the order in which whoever removes a member locks them.
            await repository.lock_membership(session, user_id=identity.user_id, organisation_id=organisation_id)
            if await repository.is_disabled(session, identity.user_id):
                raise Unmapped("account_disabled")
        await _become(session, who, identity, organisation_id, client)
        session_id = await _session_of(session, who, identity.user_id, organisation_id, client)
        await repository.note_seen(session, identity.id, issued_at=who.issued_at)
        return issuer.for_outside(
            identity.user_id,
            session_id=session_id,
            organisation_id=organisation_id,
            role=Role(who.role.value),
            at_most_s=_seconds_left(who),
            after=await revocations.not_made_before(session, session_id),
        )

    async def _appear(
        self, session: AsyncSession, who: Outsider, organisation_id: UUID, client: Client
    ) -> OutsideIdentityRow:
        """A new user. Somebody who has the same address stays somebody else: the issuer's word links no accounts."""
        user_id = new_id()
        email = who.email if who.email and not await repository.is_taken(session, who.email) else None
        await repository.insert_user(
            session,
            user_id,
            email=email or f"{user_id.hex}@{_NO_ADDRESS}",
            name=who.name,
            verified_at=await transaction_time(session) if email else None,
        )
        record(
            session,
            SecurityEvent.OUTSIDE_USER_APPEARED,
            client=client,
            organisation_id=organisation_id,
            user_id=user_id,
            issuer=self._name,
            subject=who.subject,
        )
        return await repository.insert(
            session, issuer=self._name, subject=who.subject, user_id=user_id, issued_at=who.issued_at
        )


async def _become(
    session: AsyncSession, who: Outsider, identity: OutsideIdentityRow, organisation_id: UUID, client: Client
) -> None:
    """Give somebody the role that the mapping says, and no other, whoever gave them one meanwhile."""
    membership = await repository.lock_membership(session, user_id=identity.user_id, organisation_id=organisation_id)
    if membership is None:
        event, before = SecurityEvent.MEMBER_ADDED, None
        await organisations.insert_membership(
            session, organisation_id=organisation_id, user_id=identity.user_id, role=who.role
        )
    elif membership.role == who.role:
        return
    elif membership.role == MemberRole.OWNER:
        raise Unmapped("owner_here")  # by somebody's decision here; an organisation keeps its owners
    elif who.issued_at < identity.newest_issued_at:
        raise Unmapped("superseded")  # a younger token said something else
    else:
        event, before = SecurityEvent.MEMBER_ROLE_CHANGED, membership.role
        await members.set_role(session, membership.id, who.role)
        await access.renew(session, membership)
    record(
        session,
        event,
        client=client,
        organisation_id=organisation_id,
        user_id=identity.user_id,
        role=who.role.value,
        before=before or "",
    )


async def _session_of(
    session: AsyncSession, who: Outsider, user_id: UUID, organisation_id: UUID, client: Client
) -> UUID:
    """The session that all of somebody's outside tokens share. Ended, it takes the tokens along that were made until
    then; a younger one begins another."""
    newest = await repository.newest_session(session, user_id=user_id, organisation_id=organisation_id)
    if newest is not None and newest.ended_at is None:
        await repository.note_session_used(session, newest.id, lasts=SESSION_LASTS, address=client.address)
        return newest.id
    if newest is not None and newest.ended_at is not None and who.issued_at <= newest.ended_at:
        raise Unmapped("session_ended")
    return await repository.insert_session(
        session,
        user_id=user_id,
        organisation_id=organisation_id,
        lasts=SESSION_LASTS,
        address=client.address,
        device=device_of(client.agent),
    )


def _seconds_left(who: Outsider) -> int:
    left_s = int(who.expires_at - time.time())
    if left_s < 1:
        raise Unmapped("expired")
    return min(TOKEN_S, left_s)


def _shown(claims: Claims) -> str:
    """Whom a refused token was about, bounded."""
    subject = str(claims.get("sub", ""))[:MAX_SUBJECT_CHARS]
    return subject if subject.isprintable() else ""
