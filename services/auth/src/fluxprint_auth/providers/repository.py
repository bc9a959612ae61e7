"""SQL of identities at providers, and of sign-ins on their way."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.providers.models import IdentityRow, ProviderFlowRow, Stage
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_FRESH = {"populate_existing": True}


async def insert_flow(
    session: AsyncSession,
    *,
    provider: str,
    stage: Stage,
    key_hash: bytes,
    return_to: str,
    code_challenge: str,
    lives: timedelta,
    browser_hash: bytes | None = None,
    session_id: UUID | None = None,
    sealed: bytes | None = None,
) -> None:
    """Somebody sets out to a provider, or may."""
    values = {
        "id": new_id(),
        "provider": provider,
        "stage": stage.value,
        "key_hash": key_hash,
        "browser_hash": browser_hash,
        "session_id": session_id,
        "return_to": return_to,
        "code_challenge": code_challenge,
        "sealed": sealed,
        "expires_at": func.now() + lives,
    }
    await session.execute(postgresql.insert(ProviderFlowRow).values(values))


async def use_ticket(
    session: AsyncSession,
    ticket_hash: bytes,
    provider: str,
    *,
    key_hash: bytes,
    browser_hash: bytes,
    sealed: bytes,
    lives: timedelta,
) -> bool:
    """Set out with a ticket, once; False where it is none, or for another provider."""
    table = ProviderFlowRow
    statement = (
        update(table)
        .where(
            table.key_hash == ticket_hash,
            table.provider == provider,
            table.stage == Stage.TICKET,
            table.expires_at > func.now(),
        )
        .values(
            stage=Stage.AWAY,
            key_hash=key_hash,
            browser_hash=browser_hash,
            sealed=sealed,
            expires_at=func.now() + lives,
        )
    )
    return rows_affected(await session.execute(statement)) == 1


async def come_back(
    session: AsyncSession, state_hash: bytes, provider: str, *, browser_hash: bytes
) -> ProviderFlowRow | None:
    """The way that leads here from that provider, in the browser that set out. It is taken once."""
    table = ProviderFlowRow
    statement = (
        update(table)
        .where(
            table.key_hash == state_hash,
            table.provider == provider,
            table.browser_hash == browser_hash,
            table.stage == Stage.AWAY,
            table.expires_at > func.now(),
        )
        .values(stage=Stage.ANSWERING)
        .returning(table)
    )
    return await session.scalar(statement, execution_options=_FRESH)


async def settle(session: AsyncSession, flow_id: UUID, *, key_hash: bytes, sealed: bytes, lives: timedelta) -> None:
    """The provider said who it is; that waits for the client's code."""
    table = ProviderFlowRow
    await session.execute(
        update(table)
        .where(table.id == flow_id, table.stage == Stage.ANSWERING)
        .values(stage=Stage.ANSWERED, key_hash=key_hash, sealed=sealed, expires_at=func.now() + lives)
    )


async def delete_flow(session: AsyncSession, flow_id: UUID) -> None:
    """The way ends here."""
    await session.execute(delete(ProviderFlowRow).where(ProviderFlowRow.id == flow_id))


async def redeem(session: AsyncSession, code_hash: bytes) -> ProviderFlowRow | None:
    """What waits for that code, once."""
    table = ProviderFlowRow
    statement = (
        delete(table)
        .where(table.key_hash == code_hash, table.stage == Stage.ANSWERED, table.expires_at > func.now())
        .returning(table)
    )
    return await session.scalar(statement, execution_options=_FRESH)


async def delete_expired_flows(session: AsyncSession, *, limit: int) -> int:
    """Delete up to `limit` ways that nobody finished in time; returns how many."""
    table = ProviderFlowRow
    old = select(table.id).where(table.expires_at < func.now()).limit(limit)
    return rows_affected(await session.execute(delete(table).where(table.id.in_(old))))


async def lock_identity(session: AsyncSession, provider: str, subject: str) -> IdentityRow | None:
    """Whoever that is at the provider, locked until the end of the transaction."""
    table = IdentityRow
    return await session.scalar(
        select(table).where(table.provider == provider, table.subject == subject).with_for_update()
    )


async def insert_identity(
    session: AsyncSession, *, user_id: UUID, provider: str, subject: str, email: str | None, tokens: bytes
) -> IdentityRow:
    """A person's new identity. Somebody else's violates `uq_identity_subject`."""
    row = IdentityRow(id=new_id(), user_id=user_id, provider=provider, subject=subject, email=email, tokens=tokens)
    session.add(row)
    await session.flush()
    return row


async def identities(
    session: AsyncSession, user_id: UUID, *, after_id: UUID | None, limit: int
) -> Sequence[IdentityRow]:
    """A person's identities, oldest first."""
    table = IdentityRow
    statement = select(table).where(table.user_id == user_id).order_by(table.id).limit(limit)
    if after_id is not None:
        statement = statement.where(table.id > after_id)
    return (await session.scalars(statement)).all()


async def count_identities(session: AsyncSession, user_id: UUID) -> int:
    """How many identities a person has."""
    return await session.scalar(select(func.count()).where(IdentityRow.user_id == user_id)) or 0


async def delete_of_user(session: AsyncSession, user_id: UUID) -> None:
    """Unlink all that a person signs in with elsewhere."""
    await session.execute(delete(IdentityRow).where(IdentityRow.user_id == user_id))


async def delete_identity(session: AsyncSession, identity_id: UUID, *, user_id: UUID) -> str | None:
    """Unlink an identity with its tokens; its provider, or None where the person has none of that id."""
    table = IdentityRow
    return await session.scalar(
        delete(table).where(table.id == identity_id, table.user_id == user_id).returning(table.provider)
    )
