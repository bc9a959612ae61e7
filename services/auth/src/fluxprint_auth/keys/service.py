"""Rules of the signing keys that are kept in the database: one signs, the next is known before it does, and the last
stays until its tokens are over."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.keys import repository
from fluxprint_auth.keys.models import SigningKeyRow
from fluxprint_auth.keys.problems import RotationUnderway
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.principal import Principal
from fluxprint_common.tokens import SigningKey

CLOCKS = timedelta(seconds=60)  # of machines, and a replica that has not heard of the rotation yet


@dataclass(frozen=True)
class Signing:
    """Which stored key signs at a moment; None where there is none."""

    kid: str | None
    at: datetime


async def signing(session: AsyncSession) -> Signing:
    """Which stored key signs now."""
    now = await transaction_time(session)
    kids = [row.kid for row in await repository.published(session) if row.signs_from <= now]
    return Signing(kids[0] if kids else None, now)


async def ensure(session: AsyncSession, keyring: Keyring) -> None:
    """Make the first key, unless there is one: of several processes that start at once, one does."""
    await repository.lock(session)
    if not await repository.published(session):
        await _make(session, keyring, signs_from=await transaction_time(session), client=None, principal=None)


async def rotate(
    session: AsyncSession,
    keyring: Keyring,
    *,
    lead: timedelta,
    tokens_live: timedelta,
    client: Client | None = None,
    principal: Principal | None = None,
) -> SigningKeyRow:
    """A new key, published now and signing after `lead`; the one before stays until its last token is over.

    Args:
        tokens_live: how long an access token lives.

    Raises:
        RotationUnderway: a new key is waiting for its time already.
    """
    await repository.lock(session)
    now = await transaction_time(session)
    rows = await repository.published(session)
    if any(row.signs_from > now for row in rows):
        raise RotationUnderway
    new = await _make(session, keyring, signs_from=now + lead, client=client, principal=principal)
    until = new.signs_from + tokens_live + CLOCKS
    for row in rows:
        if row.published_until is None:
            _retire(session, row, until, client=client, principal=principal)
    await session.flush()
    return new


async def replace(
    session: AsyncSession, keyring: Keyring, *, client: Client | None = None, principal: Principal | None = None
) -> SigningKeyRow:
    """A new key that signs now, and all others withdrawn: for a key that somebody else knows.

    Every access token ends; whoever has a refresh token, a bridge token or an API key gets another one.
    """
    await repository.lock(session)
    now = await transaction_time(session)
    rows = await repository.published(session)
    for row in rows:
        _retire(session, row, now, client=client, principal=principal)
    return await _make(session, keyring, signs_from=now, client=client, principal=principal)


def new_pem() -> str:
    """A private key on P-256, as PEM (PKCS 8)."""
    private = ec.generate_private_key(ec.SECP256R1())
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return private.private_bytes(encoding, form, serialization.NoEncryption()).decode()


async def _make(
    session: AsyncSession,
    keyring: Keyring,
    *,
    signs_from: datetime,
    client: Client | None,
    principal: Principal | None,
) -> SigningKeyRow:
    pem = new_pem()
    row = await repository.insert(
        session,
        kid=SigningKey(pem).kid,
        private_key=keyring.encrypt(Purpose.SIGNING_KEY, pem.encode()),
        signs_from=signs_from,
    )
    event = SecurityEvent.SIGNING_KEY_CREATED
    _record(session, event, row, client=client, principal=principal, moment=signs_from)
    return row


def _retire(
    session: AsyncSession, row: SigningKeyRow, until: datetime, *, client: Client | None, principal: Principal | None
) -> None:
    row.published_until = until
    event = SecurityEvent.SIGNING_KEY_RETIRED
    _record(session, event, row, client=client, principal=principal, moment=until)


def _record(
    session: AsyncSession,
    event: SecurityEvent,
    row: SigningKeyRow,
    *,
    client: Client | None,
    principal: Principal | None,
    moment: datetime,
) -> None:
    actor = principal.subject if principal else None
    session_id = principal.session_id if principal else None
    record(session, event, client=client, actor_id=actor, session_id=session_id, kid=row.kid, moment=moment.isoformat())
