"""Rules of API keys: they do what their maker may do at that moment, within the bounds that the maker gave them."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.api_keys import repository
from fluxprint_auth.api_keys.models import ApiKeyRow
from fluxprint_auth.api_keys.problems import (
    ApiKeyInvalid,
    ExpiryOutOfBounds,
    ScopesBeyondPrinters,
    ScopesBeyondRole,
    TooManyApiKeys,
)
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keys.access_tokens import AccessToken, AccessTokens
from fluxprint_auth.machine_settings import MachineSettings
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record, record_by
from fluxprint_common.ids import show
from fluxprint_common.permissions import PERSONAL, ROLE_PERMISSIONS, Permission
from fluxprint_common.principal import Principal
from fluxprint_common.problems import FieldProblem, NotFound

HINT_CHARS = 4
LONGEST = timedelta(days=5 * 366)
#: What a key is exchanged for lives so long, in seconds: its last use is known to that, and auth may be away for that.
TOKEN_S = 300

#: What a key that is limited to printers may do: the rest concerns the whole organisation.
OF_PRINTERS = frozenset(
    {
        Permission.FILES_READ,
        Permission.FILES_WRITE,
        Permission.JOBS_READ,
        Permission.JOBS_WRITE,
        Permission.PRINTERS_READ,
        Permission.PRINTERS_OPERATE,
        Permission.PRINTERS_MANAGE,
        Permission.CAMERAS_VIEW,
        Permission.EVENTS_READ,
    }
)


@dataclass(frozen=True, kw_only=True)
class NewKey:
    """A key as its maker wants it; the bounds of `ApiKeyRow`."""

    name: str
    scopes: frozenset[Permission]
    printer_ids: Collection[UUID] | None
    expires_at: datetime | None


async def create(
    session: AsyncSession, settings: MachineSettings, principal: Principal, new: NewKey, *, client: Client
) -> tuple[ApiKeyRow, str]:
    """A new key of the caller, and the key itself, which nobody can show again.

    Raises:
        ScopesBeyondRole, ScopesBeyondPrinters, ExpiryOutOfBounds, TooManyApiKeys
    """
    _check_bounds(principal, new)
    own, all_of_them = await repository.count_live(
        session, organisation_id=principal.organisation_id, user_id=principal.subject
    )
    if own >= settings.api_keys_per_person or all_of_them >= settings.api_keys_per_organisation:
        raise TooManyApiKeys
    token = opaque.new_token(opaque.API_KEY)
    key = await repository.insert(
        session,
        organisation_id=principal.organisation_id,
        user_id=principal.subject,
        name=new.name,
        token_hash=opaque.digest(token),
        hint=token[-HINT_CHARS:],
        scopes=new.scopes,
        printer_ids=new.printer_ids,
        expires_at=new.expires_at,
    )
    _record(session, SecurityEvent.API_KEY_CREATED, principal, key, client)
    return key, token


async def get(session: AsyncSession, principal: Principal, key_id: UUID) -> ApiKeyRow:
    """A key that the caller may see.

    Raises:
        NotFound
    """
    key = await repository.get(session, key_id, organisation_id=principal.organisation_id, user_id=only_of(principal))
    if key is None:
        raise NotFound
    return key


def only_of(principal: Principal) -> UUID | None:
    """Whose keys the caller sees: their own; None: all of the organisation, for those who manage its members."""
    return None if Permission.MEMBERS_MANAGE in principal.permissions else principal.subject


async def revoke(session: AsyncSession, principal: Principal, key_id: UUID, *, client: Client) -> None:
    """End a key: every service refuses it from now on. Whoever sees a key may end it: it may have leaked.

    Raises:
        NotFound
    """
    key = await get(session, principal, key_id)
    if await repository.revoke(session, organisation_id=key.organisation_id, key_id=key.id):
        await revocations.revoke(session, key.id)
        _record(session, SecurityEvent.API_KEY_REVOKED, principal, key, client)


async def revoke_of_member(
    session: AsyncSession,
    user_id: UUID,
    organisation_id: UUID,
    *,
    client: Client | None = None,
    actor_id: UUID | None = None,
) -> int:
    """End the keys that a person made in an organisation, because they are no longer in it; how many there were.

    Args:
        actor_id: who removed them; None: they left.
    """
    revoked = await repository.revoke(session, organisation_id=organisation_id, user_id=user_id)
    await revocations.revoke_all(session, [key_id for key_id, _organisation in revoked])
    for key_id, _organisation in revoked:
        record(
            session,
            SecurityEvent.API_KEY_REVOKED,
            client=client,
            organisation_id=organisation_id,
            actor_id=actor_id,
            user_id=user_id,
            reason="membership_ended",
            api_key_id=show("apikey", key_id),
        )
    return len(revoked)


async def revoke_of_unproved(session: AsyncSession, user_id: UUID, *, client: Client) -> None:
    """End all keys of an account whose address was never verified: whoever made them may not be whose address it is."""
    revoked = await repository.revoke(session, user_id=user_id)
    await revocations.revoke_all(session, [key_id for key_id, _organisation in revoked])
    for key_id, organisation_id in revoked:
        record(
            session,
            SecurityEvent.API_KEY_REVOKED,
            client=client,
            organisation_id=organisation_id,
            user_id=user_id,
            reason="address_unverified",
            api_key_id=show("apikey", key_id),
        )


async def renew_of_member(session: AsyncSession, user_id: UUID, organisation_id: UUID | None = None) -> int:
    """What a person's keys were exchanged for counts no more; what the next exchange gives, their role decides.

    For a changed role, a disabled account, and one that is enabled again. Change it first, then call this.

    Args:
        organisation_id: None: in all their organisations.
    """
    keys = await repository.live_of(session, user_id=user_id, organisation_id=organisation_id)
    await revocations.revoke_so_far(session, keys)
    return len(keys)


async def exchange(session: AsyncSession, issuer: AccessTokens, token: str, *, client: Client) -> AccessToken:
    """An access token for an API key, with what its maker may do now.

    Raises:
        ApiKeyInvalid
    """
    if not opaque.is_well_formed(opaque.API_KEY, token):
        raise ApiKeyInvalid
    key = await repository.by_hash(session, opaque.digest(token))
    if key is None:
        raise ApiKeyInvalid
    role = await repository.role_of_maker(session, key)
    at_most_s = TOKEN_S
    if key.expires_at is not None:
        at_most_s = min(TOKEN_S, int((key.expires_at - await transaction_time(session)).total_seconds()))
    if at_most_s < 1:
        raise _refused(session, key, client, reason="expired")
    if role is None:
        raise _refused(session, key, client, reason="maker_gone")
    if not await repository.mark_used(session, key.id, address=client.address):
        raise _refused(session, key, client, reason="revoked")
    return issuer.for_api_key(
        key.user_id,
        key_id=key.id,
        organisation_id=key.organisation_id,
        role=role,
        scopes=[Permission(scope) for scope in key.scopes],
        printers=key.printer_ids,
        at_most_s=at_most_s,
        after=await revocations.not_made_before(session, key.id),
    )


def _refused(session: AsyncSession, key: ApiKeyRow, client: Client, *, reason: str) -> ApiKeyInvalid:
    """A key that was one: who still uses it has not heard, or found it somewhere. What never was one leaves no row."""
    record(
        session,
        SecurityEvent.API_KEY_REFUSED,
        client=client,
        organisation_id=key.organisation_id,
        user_id=key.user_id,
        outcome=Outcome.FAILURE,
        reason=reason,
        api_key_id=show("apikey", key.id),
    )
    return ApiKeyInvalid()


def _check_bounds(principal: Principal, new: NewKey) -> None:
    beyond = new.scopes - (ROLE_PERMISSIONS[principal.role] - PERSONAL)
    if beyond:
        raise ScopesBeyondRole(f"Your role has not got, or no key can have: {', '.join(sorted(beyond))}.")
    if new.printer_ids is not None and not new.scopes <= OF_PRINTERS:
        message = f"Without printer_ids, or without {', '.join(sorted(new.scopes - OF_PRINTERS))}."
        raise ScopesBeyondPrinters(
            message, errors=[FieldProblem(pointer="/scopes", code="beyond_printers", message=message)]
        )
    now = datetime.now(UTC)
    if new.expires_at is not None and not now < new.expires_at <= now + LONGEST:
        message = f"After now, and within {LONGEST.days} days."
        raise ExpiryOutOfBounds(message, errors=[FieldProblem(pointer="/expires_at", code="bounds", message=message)])


def _record(session: AsyncSession, event: SecurityEvent, principal: Principal, key: ApiKeyRow, client: Client) -> None:
    named = {"api_key_id": show("apikey", key.id), "scopes": " ".join(key.scopes)}
    record_by(session, event, principal, client=client, user_id=key.user_id, **named)
