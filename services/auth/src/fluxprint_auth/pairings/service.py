"""Rules of pairing: a bridge shows a code, a person confirms it, the bridge fetches its token.

Source: RFC 8628 (device authorization grant), which is how a television signs in.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.bridges import repository as bridges
from fluxprint_auth.bridges.models import BridgeRow
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.pairings import codes, repository
from fluxprint_auth.pairings.models import PairingRow, PairingState
from fluxprint_auth.pairings.problems import (
    AccessDenied,
    AuthorizationPending,
    PairingDecided,
    PairingExpired,
    SlowDown,
    TooManyPairings,
)
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record, record_by
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound

LIVES = timedelta(minutes=10)
FETCHED_WITHIN = timedelta(minutes=5)  # of the approval, and again after an answer that was lost
MAX_WAITING = 1000
INTERVAL_S = 5
SLOWER_BY_S = 5
MAX_INTERVAL_S = 60
_EARLY = timedelta(seconds=1)  # networks are not even
_TRIES = 5
_STRANDED_AT_ONCE = 100


@dataclass(frozen=True)
class Started:
    """What a bridge begins with."""

    device_code: str
    user_code: str
    expires_in_s: int
    interval_s: int


async def start(session: AsyncSession, *, client: Client) -> Started:
    """A new pairing.

    Raises:
        TooManyPairings
    """
    if await repository.count_waiting(session) >= MAX_WAITING:
        raise TooManyPairings(retry_after_s=60)
    device_code = opaque.new_token(opaque.PAIRING)
    expires_at = await transaction_time(session) + LIVES
    for _ in range(_TRIES):
        user_code = codes.new_code()
        if await repository.insert(
            session,
            device_hash=opaque.digest(device_code),
            user_code=user_code,
            expires_at=expires_at,
            interval_s=INTERVAL_S,
            address=client.address,
            agent=client.agent,
        ):
            return Started(device_code, user_code, int(LIVES.total_seconds()), INTERVAL_S)
    raise TooManyPairings(retry_after_s=60)


async def fetch(session: AsyncSession, device_code: str) -> tuple[BridgeRow, str]:
    """The bridge and its token, once a person approved. Until the token is used, the same one is given again: an
    answer that was lost must not leave a bridge without its identity.

    Raises:
        AuthorizationPending, SlowDown, AccessDenied, PairingExpired
    """
    if not opaque.is_well_formed(opaque.PAIRING, device_code):
        raise PairingExpired
    row = await repository.lock_by_device(session, opaque.digest(device_code))
    now = await transaction_time(session)
    if row is None or row.expires_at <= now:
        raise PairingExpired
    match PairingState(row.state):
        case PairingState.PENDING:
            raise _wait(row, now)
        case PairingState.DENIED:
            raise AccessDenied
        case PairingState.APPROVED | PairingState.CONNECTED:
            return await _token(session, row, device_code, now)


async def get(session: AsyncSession, principal: Principal, typed: str, *, lock: bool = False) -> PairingRow:
    """The pairing of a code.

    Raises:
        NotFound: also where another organisation decided about it.
    """
    code = codes.read(typed)
    row = code and await repository.by_code(session, code, organisation_id=principal.organisation_id, lock=lock)
    if not row:
        raise NotFound("There is no such code, or it has expired; look at the bridge for the one that it shows now.")
    return row


async def approve(session: AsyncSession, principal: Principal, typed: str, *, name: str, client: Client) -> BridgeRow:
    """Let the bridge in, as one of the caller's organisation.

    Raises:
        NotFound, PairingDecided
    """
    row = await _undecided(session, principal, typed)
    await revoke_stranded(session, organisation_id=principal.organisation_id, limit=_STRANDED_AT_ONCE)
    bridge = await bridges.insert(
        session, organisation_id=principal.organisation_id, name=name, token_hash=None, created_by=principal.subject
    )
    row.state, row.organisation_id, row.bridge_id = PairingState.APPROVED, principal.organisation_id, bridge.id
    row.expires_at = max(row.expires_at, await transaction_time(session) + FETCHED_WITHIN)
    await session.flush()
    for event in (SecurityEvent.BRIDGE_CREATED, SecurityEvent.BRIDGE_PAIRING_APPROVED):
        _record(session, event, principal, row, client)
    return bridge


async def deny(session: AsyncSession, principal: Principal, typed: str, *, client: Client) -> None:
    """Refuse the bridge.

    Raises:
        NotFound, PairingDecided
    """
    row = await _undecided(session, principal, typed)
    row.state, row.organisation_id = PairingState.DENIED, principal.organisation_id
    await session.flush()
    _record(session, SecurityEvent.BRIDGE_PAIRING_DENIED, principal, row, client)


async def revoke_stranded(session: AsyncSession, *, organisation_id: UUID | None = None, limit: int) -> int:
    """Revoke bridges that were approved and never came for their token, so that their names are free again."""
    stranded = await repository.revoke_stranded(session, organisation_id=organisation_id, limit=limit)
    for bridge_id, organisation in stranded:
        event, why = SecurityEvent.BRIDGE_REVOKED, "never_connected"
        record(session, event, client=None, organisation_id=organisation, bridge_id=bridge_id, reason=why)
    return len(stranded)


async def _undecided(session: AsyncSession, principal: Principal, typed: str) -> PairingRow:
    row = await get(session, principal, typed, lock=True)
    if row.state != PairingState.PENDING:
        raise PairingDecided
    return row


def _wait(row: PairingRow, now: datetime) -> AuthorizationPending | SlowDown:
    too_soon = row.polled_at is not None and now - row.polled_at < timedelta(seconds=row.interval_s) - _EARLY
    row.polled_at = now
    if not too_soon:
        return AuthorizationPending()
    row.interval_s = min(row.interval_s + SLOWER_BY_S, MAX_INTERVAL_S)
    return SlowDown(interval_s=row.interval_s)


async def _token(session: AsyncSession, row: PairingRow, device_code: str, now: datetime) -> tuple[BridgeRow, str]:
    assert row.bridge_id is not None and row.organisation_id is not None  # noqa: S101, PT018  (a CHECK says so)
    bridge = await bridges.get(session, row.bridge_id, organisation_id=row.organisation_id)
    if bridge is None:  # revoked before it came for its token
        raise AccessDenied
    if bridge.last_used_at is not None:
        raise PairingExpired
    if row.token_nonce is None:
        row.token_nonce = secrets.token_bytes(opaque.NONCE_BYTES)
        row.state, row.expires_at = PairingState.CONNECTED, now + FETCHED_WITHIN
    token = opaque.derived(opaque.BRIDGE, device_code, row.token_nonce)
    bridge.token_hash = opaque.digest(token)
    return bridge, token


def _record(session: AsyncSession, event: SecurityEvent, principal: Principal, row: PairingRow, client: Client) -> None:
    asked = {"asked_from": row.address, "asked_by": row.agent}
    record_by(session, event, principal, client=client, user_id=principal.subject, bridge_id=row.bridge_id, **asked)
