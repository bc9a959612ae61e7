"""Rules of bridge identities."""

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
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound


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


async def exchange(session: AsyncSession, issuer: AccessTokens, token: str, *, client: Client) -> AccessToken:
    """An access token for a bridge token.

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
    bridge.last_used_at = await transaction_time(session)
    bridge.last_used_address = client.address
    return issuer.for_bridge(bridge.id, organisation_id=bridge.organisation_id)


def _record(session: AsyncSession, event: SecurityEvent, principal: Principal, bridge_id: UUID, client: Client) -> None:
    record(
        session,
        event,
        client=client,
        organisation_id=principal.organisation_id,
        user_id=principal.subject,
        session_id=principal.session_id,
        bridge_id=bridge_id,
    )
