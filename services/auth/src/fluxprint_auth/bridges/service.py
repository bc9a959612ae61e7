"""Rules of bridge identities."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.bridges import repository
from fluxprint_auth.bridges.models import BridgeRow
from fluxprint_auth.bridges.problems import BridgeTokenInvalid
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keys.access_tokens import AccessToken, AccessTokens
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record, record_by
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound

INSTANCES_KEPT = 32
MANY_WITHIN = timedelta(hours=1)
REPORTED_EVERY = timedelta(hours=1)


async def create(session: AsyncSession, principal: Principal, *, name: str, client: Client) -> tuple[BridgeRow, str]:
    """A new bridge of the caller's organisation, and its token, which nobody can show again."""
    token = opaque.new_token(opaque.BRIDGE)
    bridge = await repository.insert(
        session,
        organisation_id=principal.organisation_id,
        name=name,
        token_hash=opaque.digest(token),
        created_by=principal.subject,
    )
    _record(session, SecurityEvent.BRIDGE_CREATED, principal, bridge.id, client)
    return bridge, token


async def get(session: AsyncSession, principal: Principal, bridge_id: UUID) -> BridgeRow:
    """A bridge of the caller's organisation.

    Raises:
        NotFound
    """
    bridge = await repository.get(session, bridge_id, organisation_id=principal.organisation_id)
    if bridge is None:
        raise NotFound
    return bridge


async def revoke(session: AsyncSession, principal: Principal, bridge_id: UUID, *, client: Client) -> None:
    """End a bridge: its token is worth nothing from now on, and neither is what it was exchanged for.

    Raises:
        NotFound
    """
    if not await repository.revoke(session, bridge_id, organisation_id=principal.organisation_id):
        raise NotFound
    await revocations.revoke(session, bridge_id)
    _record(session, SecurityEvent.BRIDGE_REVOKED, principal, bridge_id, client)


async def exchange(
    session: AsyncSession, issuer: AccessTokens, token: str, *, instance: str | None, client: Client
) -> AccessToken:
    """An access token for a bridge token.

    Args:
        instance: what the bridge's process calls itself; it is another one after each start.

    Raises:
        BridgeTokenInvalid
    """
    if not opaque.is_well_formed(opaque.BRIDGE, token):
        raise BridgeTokenInvalid
    bridge = await repository.lock_by_token(session, opaque.digest(token))
    if bridge is None:
        raise BridgeTokenInvalid
    if bridge.last_used_address != client.address:
        record(
            session,
            SecurityEvent.BRIDGE_ADDRESS_CHANGED,
            client=client,
            organisation_id=bridge.organisation_id,
            bridge_id=bridge.id,
            before=bridge.last_used_address or "",
        )
    now = await transaction_time(session)
    await _note_instance(session, bridge, instance or "", now=now, client=client)
    bridge.last_used_at = now
    bridge.last_used_address = client.address
    return issuer.for_bridge(bridge.id, organisation_id=bridge.organisation_id)


async def _note_instance(
    session: AsyncSession, bridge: BridgeRow, instance: str, *, now: datetime, client: Client
) -> None:
    """Notice when two processes use one token: one that was replaced by another comes back.

    A restart is none: its process does not come back. Bridges of older versions name no process; two of them can't be
    told apart, but one beside a named one is noticed when that one comes back.
    """
    came_back = await repository.note_instance(session, bridge.id, instance, at=now) and instance != bridge.instance
    forgotten = await repository.forget_instances(session, bridge.id, keep=INSTANCES_KEPT)
    bridge.instance = instance
    if came_back and instance:
        reason = "instance_came_back"
    elif forgotten is not None and now - forgotten < MANY_WITHIN:
        reason = "many_instances"  # nobody starts so often; nor may somebody hide behind a flood of names
    else:
        return
    if bridge.used_twice_at is None or now - bridge.used_twice_at >= REPORTED_EVERY:
        bridge.used_twice_at = now
        record(
            session,
            SecurityEvent.BRIDGE_USED_TWICE,
            client=client,
            organisation_id=bridge.organisation_id,
            bridge_id=bridge.id,
            outcome=Outcome.FAILURE,
            reason=reason,
            before=bridge.last_used_address or "",
        )


def _record(session: AsyncSession, event: SecurityEvent, principal: Principal, bridge_id: UUID, client: Client) -> None:
    record_by(session, event, principal, client=client, user_id=principal.subject, bridge_id=bridge_id)
