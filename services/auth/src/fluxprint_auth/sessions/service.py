"""Rules of sessions: how they begin, go on and end. See docs/adr/0003-tokens-and-sessions.md."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.accounts.problems import AccountDisabled
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.keys.access_tokens import AccessToken, AccessTokens
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions import repository
from fluxprint_auth.sessions.devices import device_of, traits_of
from fluxprint_auth.sessions.models import EndReason, RefreshTokenRow, SessionRow
from fluxprint_auth.sessions.problems import (
    FingerprintChanged,
    MembershipEnded,
    NoOrganisation,
    RefreshTokenInvalid,
    RefreshTokenReused,
)
from fluxprint_auth.sessions.repository import Holder
from fluxprint_auth.sessions.settings import FingerprintChange
from fluxprint_common.problems import NotFound


@dataclass(frozen=True)
class TokenPair:
    """What a client signs its requests with, and what it gets the next pair for.

    Attributes:
        device_token: after signing in: by what the device is known at the next login.
    """

    access: AccessToken
    refresh_token: str
    refresh_expires_in_s: int
    session_id: UUID
    device_token: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionPolicy:
    """How long sessions last, in seconds, and what they put up with."""

    refresh_s: int
    max_s: int
    grace_s: int
    fingerprint_change: FingerprintChange


class Sessions:
    """Sessions of people: families of refresh tokens of which one is current."""

    def __init__(self, issuer: AccessTokens, policy: SessionPolicy, keyring: Keyring) -> None:
        self._issuer = issuer
        self._policy = policy
        self._keyring = keyring

    async def open(
        self, session: AsyncSession, membership: MembershipRow | None, *, client: Client, second_factor: bool = False
    ) -> TokenPair:
        """Begin a session in the organisation of `membership`.

        Args:
            second_factor: whether one was part of the proof.

        Raises:
            NoOrganisation: there is none. AccountDisabled
        """
        if membership is None:
            raise NoOrganisation
        holder = await repository.holder(
            session, user_id=membership.user_id, organisation_id=membership.organisation_id, lock=True
        )
        if holder is None:
            raise NoOrganisation
        if holder.is_disabled:
            raise AccountDisabled
        now = await transaction_time(session)
        family = await repository.insert_session(
            session,
            user_id=membership.user_id,
            organisation_id=membership.organisation_id,
            expires_at=now + timedelta(seconds=self._policy.max_s),
            second_factor=second_factor,
            address=client.address,
            device=device_of(client.agent),
            fingerprint=self._keyring.mac(Purpose.FINGERPRINT, traits_of(client)),
        )
        token = opaque.new_token(opaque.REFRESH)
        expires_at = await self._make_current(session, family, token, now)
        _record(session, SecurityEvent.LOGIN_SUCCEEDED, family, client)
        return await self._pair(session, family, holder, token, expires_at - now)

    async def refresh(self, session: AsyncSession, token: str, *, client: Client) -> TokenPair:
        """The next pair for a refresh token. The family is locked: of many requests at once, one rotates.

        - The current token is rotated.
        - The one before it gets the current one again within the grace: two tabs refresh at the same time.
        - Any older one was copied by somebody: the family ends, for the thief and for the owner.

        Raises:
            RefreshTokenInvalid, RefreshTokenReused, MembershipEnded, AccountDisabled, FingerprintChanged
        """
        if not opaque.is_well_formed(opaque.REFRESH, token):
            raise RefreshTokenInvalid
        found = await repository.lock_family(session, opaque.digest(token))
        now = await transaction_time(session)
        if found is None or found[0].ended_at is not None or min(found[0].expires_at, found[1].expires_at) <= now:
            raise RefreshTokenInvalid
        family, row = found
        holder = await self._holder(session, family)
        successor, expires_at = await self._successor(session, family, row, token, now=now, client=client)
        await self._recognise(session, family, client)
        family.last_used_at = now
        family.address = client.address
        return await self._pair(session, family, holder, successor, expires_at - now)

    async def switch(
        self, session: AsyncSession, session_id: UUID, *, user_id: UUID, organisation_id: UUID, client: Client
    ) -> AccessToken:
        """Go on in another organisation of the person's. The refresh token stays; access tokens made so far end.

        Raises:
            NotFound: they are no member of it.
        """
        # The membership before the session: the order in which whoever changes a membership locks them.
        holder = await repository.holder(session, user_id=user_id, organisation_id=organisation_id, lock=True)
        family = await repository.lock(session, session_id)
        if holder is None or family is None:
            raise NotFound
        before, family.organisation_id = family.organisation_id, organisation_id
        await session.flush()
        await revocations.revoke_so_far(session, [family.id])
        record(
            session,
            SecurityEvent.ORGANISATION_SWITCHED,
            client=client,
            organisation_id=organisation_id,
            user_id=user_id,
            session_id=family.id,
            before=str(before),
        )
        return await self._access(session, family, holder)

    async def proved(self, session: AsyncSession, session_id: UUID, *, second_factor: bool) -> AccessToken:
        """The person of a session proved again who they are; its next access token, which says so.

        Args:
            second_factor: whether one was part of the proof.

        Raises:
            RefreshTokenInvalid: the session has ended.
        """
        family = await repository.lock(session, session_id)
        if family is None:
            raise RefreshTokenInvalid
        family.authenticated_at = await transaction_time(session)
        family.second_factor = family.second_factor or second_factor
        return await self._access(session, family, await self._holder(session, family))

    async def unprove_others(self, session: AsyncSession, user_id: UUID, *, except_id: UUID) -> None:
        """What other sessions of the person proved is not enough any more: the account asks for a second factor now.

        They go on, but sensitive changes ask for a new proof.
        """
        sids = await repository.unprove(session, user_id, except_id=except_id)
        await revocations.revoke_so_far(session, sids)

    async def end(
        self,
        session: AsyncSession,
        session_id: UUID,
        *,
        user_id: UUID,
        client: Client,
        reason: EndReason = EndReason.LOGGED_OUT,
    ) -> bool:
        """End a session of a person who asks for it; False where they have none of that id."""
        organisation_id = await repository.end(session, session_id, reason, user_id=user_id)
        if organisation_id is None:
            return False
        await revocations.revoke(session, session_id)
        event = SecurityEvent.LOGGED_OUT if reason is EndReason.LOGGED_OUT else SecurityEvent.SESSION_ENDED
        record(
            session,
            event,
            client=client,
            organisation_id=organisation_id,
            user_id=user_id,
            session_id=session_id,
        )
        return True

    @staticmethod
    async def end_all(
        session: AsyncSession,
        user_id: UUID,
        reason: EndReason,
        *,
        client: Client | None,
        actor_id: UUID | None = None,
        organisation_id: UUID | None = None,
        except_id: UUID | None = None,
    ) -> int:
        """End all sessions of a person; returns how many. What they are ended for must be written before.

        Args:
            client: None for the command line.
            actor_id: who ended them, where it was not the person.
            organisation_id: only those that are in this organisation.
            except_id: the session that stays.
        """
        ended = await repository.end_all(session, user_id, reason, organisation_id=organisation_id, except_id=except_id)
        await revocations.revoke_all(session, ended)
        record(
            session,
            SecurityEvent.ALL_SESSIONS_ENDED,
            client=client,
            organisation_id=organisation_id,
            actor_id=actor_id,
            user_id=user_id,
            reason=reason.value,
            sessions=len(ended),
        )
        return len(ended)

    @staticmethod
    async def renew_access(session: AsyncSession, user_id: UUID, *, organisation_id: UUID | None = None) -> int:
        """Refuse the access tokens that a person's sessions have: they say what is true no more, a role for example.

        The sessions go on; a refresh gives tokens that say what is. Call it after the change, in its transaction.

        Args:
            organisation_id: only of sessions that are in this organisation.
        """
        sids = await repository.lock_all(session, user_id, organisation_id=organisation_id)
        await revocations.revoke_so_far(session, sids)
        return len(sids)

    async def _holder(self, session: AsyncSession, family: SessionRow) -> Holder:
        holder = await repository.holder(
            session, user_id=family.user_id, organisation_id=family.organisation_id, lock=False
        )
        if holder is None:
            await self._end(session, family, EndReason.MEMBERSHIP_ENDED)
            raise MembershipEnded
        if holder.is_disabled:
            await self._end(session, family, EndReason.ACCOUNT_DISABLED)
            raise AccountDisabled
        return holder

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
        await self._end(session, family, EndReason.TOKEN_REUSED)
        _record(session, SecurityEvent.REFRESH_REUSED, family, client, outcome=Outcome.FAILURE)
        raise RefreshTokenReused

    async def _recognise(self, session: AsyncSession, family: SessionRow, client: Client) -> None:
        """Notice when a session goes on in what looks like another client; each change once."""
        known, traits = family.fingerprint, traits_of(client)
        family.fingerprint = self._keyring.mac(Purpose.FINGERPRINT, traits)
        if known is None or known in self._keyring.macs(Purpose.FINGERPRINT, traits):
            return
        refused = self._policy.fingerprint_change is FingerprintChange.REFUSE
        device, family.device = family.device, device_of(client.agent)
        record(
            session,
            SecurityEvent.FINGERPRINT_CHANGED,
            client=client,
            organisation_id=family.organisation_id,
            user_id=family.user_id,
            session_id=family.id,
            outcome=Outcome.FAILURE if refused else Outcome.SUCCESS,
            before=device or "",
            after=family.device or "",
        )
        if refused:
            await self._end(session, family, EndReason.FINGERPRINT_CHANGED)
            raise FingerprintChanged

    async def _end(self, session: AsyncSession, family: SessionRow, reason: EndReason) -> None:
        await repository.end(session, family.id, reason, user_id=family.user_id)
        await revocations.revoke(session, family.id)

    async def _make_current(self, session: AsyncSession, family: SessionRow, token: str, now: datetime) -> datetime:
        expires_at = min(now + timedelta(seconds=self._policy.refresh_s), family.expires_at)
        await repository.insert_token(
            session, session_id=family.id, token_hash=opaque.digest(token), expires_at=expires_at
        )
        return expires_at

    async def _pair(
        self, session: AsyncSession, family: SessionRow, holder: Holder, token: str, lifetime: timedelta
    ) -> TokenPair:
        access = await self._access(session, family, holder)
        return TokenPair(access, token, int(lifetime.total_seconds()), family.id)

    async def _access(self, session: AsyncSession, family: SessionRow, holder: Holder) -> AccessToken:
        return self._issuer.for_session(
            family.user_id,
            session_id=family.id,
            organisation_id=family.organisation_id,
            role=holder.role,
            authenticated_at=family.authenticated_at,
            is_administrator=holder.is_administrator,
            after=await revocations.not_made_before(session, family.id),
        )


def _record(
    session: AsyncSession,
    event: SecurityEvent,
    family: SessionRow,
    client: Client,
    *,
    outcome: Outcome = Outcome.SUCCESS,
) -> None:
    record(
        session,
        event,
        client=client,
        organisation_id=family.organisation_id,
        user_id=family.user_id,
        session_id=family.id,
        outcome=outcome,
    )
