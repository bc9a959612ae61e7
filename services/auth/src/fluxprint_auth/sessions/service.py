"""Rules of sessions: how they begin, go on and end. See docs/adr/0003-tokens-and-sessions.md."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keys.access_tokens import AccessToken, AccessTokens
from fluxprint_auth.organisations import repository as organisations
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions import repository
from fluxprint_auth.sessions.models import EndReason, RefreshTokenRow, SessionRow
from fluxprint_auth.sessions.problems import MembershipEnded, NoOrganisation, RefreshTokenInvalid, RefreshTokenReused
from fluxprint_common.permissions import Role


@dataclass(frozen=True)
class TokenPair:
    """What a client signs its requests with, and what it gets the next pair for."""

    access: AccessToken
    refresh_token: str
    refresh_expires_in_s: int


@dataclass(frozen=True, kw_only=True)
class SessionPolicy:
    """How long sessions last, in seconds."""

    refresh_s: int
    max_s: int
    grace_s: int


class Sessions:
    """Sessions of people: families of refresh tokens of which one is current."""

    def __init__(self, issuer: AccessTokens, policy: SessionPolicy) -> None:
        self._issuer = issuer
        self._policy = policy

    async def open(
        self,
        session: AsyncSession,
        membership: MembershipRow | None,
        *,
        client: Client,
        second_factor: bool = False,
    ) -> TokenPair:
        """Begin a session in the organisation of `membership`.

        Args:
            second_factor: whether one was part of the proof.

        Raises:
            NoOrganisation: there is none.
        """
        if membership is None:
            raise NoOrganisation
        now = await transaction_time(session)
        family = await repository.insert_session(
            session,
            user_id=membership.user_id,
            organisation_id=membership.organisation_id,
            expires_at=now + timedelta(seconds=self._policy.max_s),
            second_factor=second_factor,
        )
        token = opaque.new_token(opaque.REFRESH)
        expires_at = await self._make_current(session, family, token, now)
        _record(session, SecurityEvent.LOGIN_SUCCEEDED, family, client)
        return self._pair(family, membership, token, expires_at - now)

    async def refresh(self, session: AsyncSession, token: str, *, client: Client) -> TokenPair:
        """The next pair for a refresh token. The family is locked: of many requests at once, one rotates.

        - The current token is rotated.
        - The one before it gets the current one again within the grace: two tabs refresh at the same time.
        - Any older one was copied by somebody: the family ends, for the thief and for the owner.

        Raises:
            RefreshTokenInvalid, RefreshTokenReused, MembershipEnded
        """
        if not opaque.is_well_formed(opaque.REFRESH, token):
            raise RefreshTokenInvalid
        found = await repository.lock_family(session, opaque.digest(token))
        now = await transaction_time(session)
        if found is None or found[0].ended_at is not None or min(found[0].expires_at, found[1].expires_at) <= now:
            raise RefreshTokenInvalid
        family, row = found
        membership = await organisations.membership(
            session, user_id=family.user_id, organisation_id=family.organisation_id
        )
        if membership is None:
            await repository.end(session, family.id, EndReason.MEMBERSHIP_ENDED)
            raise MembershipEnded
        successor, expires_at = await self._successor(session, family, row, token, now=now, client=client)
        return self._pair(family, membership, successor, expires_at - now)

    async def end(self, session: AsyncSession, session_id: UUID, *, user_id: UUID, client: Client) -> None:
        """End a session because its person asks for it."""
        if await repository.end(session, session_id, EndReason.LOGGED_OUT):
            record(session, SecurityEvent.LOGGED_OUT, client=client, user_id=user_id, session_id=session_id)

    async def _successor(
        self,
        session: AsyncSession,
        family: SessionRow,
        row: RefreshTokenRow,
        token: str,
        *,
        now: datetime,
        client: Client,
    ) -> tuple[str, datetime]:
        if row.rotated_at is None:
            nonce = secrets.token_bytes(opaque.NONCE_BYTES)
            await repository.mark_rotated(session, row, at=now, nonce=nonce)
            successor = opaque.successor_of(token, nonce)
            return successor, await self._make_current(session, family, successor, now)
        if row.successor_nonce is not None and now - row.rotated_at <= timedelta(seconds=self._policy.grace_s):
            successor = opaque.successor_of(token, row.successor_nonce)
            current = await repository.token_by_hash(session, opaque.digest(successor))
            return successor, current.expires_at
        await repository.end(session, family.id, EndReason.TOKEN_REUSED)
        _record(session, SecurityEvent.REFRESH_REUSED, family, client)
        raise RefreshTokenReused

    async def _make_current(self, session: AsyncSession, family: SessionRow, token: str, now: datetime) -> datetime:
        expires_at = min(now + timedelta(seconds=self._policy.refresh_s), family.expires_at)
        await repository.insert_token(
            session, session_id=family.id, token_hash=opaque.digest(token), expires_at=expires_at
        )
        return expires_at

    def _pair(self, family: SessionRow, membership: MembershipRow, token: str, lifetime: timedelta) -> TokenPair:
        access = self._issuer.for_session(
            family.user_id,
            session_id=family.id,
            organisation_id=family.organisation_id,
            role=Role(membership.role),
            authenticated_at=family.authenticated_at,
            is_administrator=False,
        )
        return TokenPair(access, token, int(lifetime.total_seconds()))


def _record(session: AsyncSession, event: SecurityEvent, family: SessionRow, client: Client) -> None:
    record(
        session,
        event,
        client=client,
        organisation_id=family.organisation_id,
        user_id=family.user_id,
        session_id=family.id,
    )
