"""SQL of API keys. A revoked key is kept for the record and shown to nobody."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Row, delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.api_keys.models import ApiKeyRow
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Permission, Role

_NOT_EXPIRED = or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > func.now())
#: Of a key: it works, as far as its own row says.
LIVE = ApiKeyRow.revoked_at.is_(None) & _NOT_EXPIRED


async def insert(
    session: AsyncSession,
    *,
    organisation_id: UUID,
    user_id: UUID,
    name: str,
    token_hash: bytes,
    hint: str,
    scopes: Collection[Permission],
    printer_ids: Collection[UUID] | None,
    expires_at: datetime | None,
) -> ApiKeyRow:
    """A new key."""
    row = ApiKeyRow(
        id=new_id(),
        organisation_id=organisation_id,
        user_id=user_id,
        name=name,
        token_hash=token_hash,
        hint=hint,
        scopes=sorted(scopes),
        printer_ids=sorted(printer_ids) if printer_ids is not None else None,
        expires_at=expires_at,
    )
    session.add(row)
    await session.flush()
    return row


async def count_live(session: AsyncSession, *, organisation_id: UUID, user_id: UUID) -> tuple[int, int]:
    """How many keys work: the person's, and the organisation's. Until the transaction ends no other may be added."""
    organisation = select(OrganisationRow.id).where(OrganisationRow.id == organisation_id)
    await session.execute(organisation.with_for_update(key_share=True))
    statement = select(func.count().filter(ApiKeyRow.user_id == user_id), func.count()).where(
        ApiKeyRow.organisation_id == organisation_id, LIVE
    )
    row = (await session.execute(statement)).one()
    return int(row[0]), int(row[1])


async def get(session: AsyncSession, key_id: UUID, *, organisation_id: UUID, user_id: UUID | None) -> ApiKeyRow | None:
    """A key of that organisation; with `user_id` only one that this person made."""
    statement = select(ApiKeyRow).where(
        ApiKeyRow.id == key_id, ApiKeyRow.organisation_id == organisation_id, ApiKeyRow.revoked_at.is_(None)
    )
    if user_id is not None:
        statement = statement.where(ApiKeyRow.user_id == user_id)
    return await session.scalar(statement)


async def after(
    session: AsyncSession, *, organisation_id: UUID, user_id: UUID | None, after_id: UUID | None, limit: int
) -> Sequence[ApiKeyRow]:
    """Keys of that organisation, oldest first; with `user_id` only those that this person made."""
    statement = (
        select(ApiKeyRow)
        .where(ApiKeyRow.organisation_id == organisation_id, ApiKeyRow.revoked_at.is_(None))
        .order_by(ApiKeyRow.id)
        .limit(limit)
    )
    if user_id is not None:
        statement = statement.where(ApiKeyRow.user_id == user_id)
    if after_id is not None:
        statement = statement.where(ApiKeyRow.id > after_id)
    return (await session.scalars(statement)).all()


async def revoke(
    session: AsyncSession,
    *,
    organisation_id: UUID | None = None,
    key_id: UUID | None = None,
    user_id: UUID | None = None,
) -> Sequence[Row[UUID, UUID]]:
    """Revoke one key of an organisation, or all that a person made, in it or everywhere.

    Returns:
        Of those that were not revoked until now the ids, each with its organisation's.
    """
    statement = update(ApiKeyRow).where(ApiKeyRow.revoked_at.is_(None))
    if organisation_id is not None:
        statement = statement.where(ApiKeyRow.organisation_id == organisation_id)
    if key_id is not None:
        statement = statement.where(ApiKeyRow.id == key_id)
    if user_id is not None:
        statement = statement.where(ApiKeyRow.user_id == user_id)
    statement = statement.values(revoked_at=func.now()).execution_options(synchronize_session=False)
    return (await session.execute(statement.returning(ApiKeyRow.id, ApiKeyRow.organisation_id))).all()


async def live_of(session: AsyncSession, *, user_id: UUID, organisation_id: UUID | None) -> Sequence[UUID]:
    """The keys of a person that work, everywhere or in one organisation."""
    statement = select(ApiKeyRow.id).where(ApiKeyRow.user_id == user_id, LIVE)
    if organisation_id is not None:
        statement = statement.where(ApiKeyRow.organisation_id == organisation_id)
    return (await session.scalars(statement)).all()


async def by_hash(session: AsyncSession, token_hash: bytes) -> ApiKeyRow | None:
    """The key that is known by this hash, whether it works or not."""
    return await session.scalar(select(ApiKeyRow).where(ApiKeyRow.token_hash == token_hash))


async def role_of_maker(session: AsyncSession, key: ApiKeyRow) -> Role | None:
    """What a key's maker is in its organisation, if anything; it stays so until the transaction ends.

    Without the lock a token could be made with a role that ends at this moment, after everything made with it was
    revoked. Locks are taken in the order membership, user, key.
    """
    statement = (
        select(MembershipRow.role)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(
            MembershipRow.user_id == key.user_id,
            MembershipRow.organisation_id == key.organisation_id,
            UserRow.disabled_at.is_(None),
        )
    )
    role = await session.scalar(statement.with_for_update(read=True))
    return Role(role) if role is not None else None


async def mark_used(session: AsyncSession, key_id: UUID, *, address: str) -> bool:
    """Keep when a key was used; False where it does not work any more."""
    statement = (
        update(ApiKeyRow)
        .where(ApiKeyRow.id == key_id, LIVE)
        .values(last_used_at=func.now(), last_used_address=address)
        .execution_options(synchronize_session=False)
    )
    return rows_affected(await session.execute(statement)) == 1


async def is_live(session: AsyncSession, key_id: UUID, *, user_id: UUID, organisation_id: UUID, role: Role) -> bool:
    """Whether a key still works, and its maker still has that role there."""
    statement = (
        select(ApiKeyRow.id)
        .join(
            MembershipRow,
            (MembershipRow.user_id == ApiKeyRow.user_id) & (MembershipRow.organisation_id == ApiKeyRow.organisation_id),
        )
        .join(UserRow, UserRow.id == ApiKeyRow.user_id)
        .where(
            ApiKeyRow.id == key_id,
            ApiKeyRow.user_id == user_id,
            ApiKeyRow.organisation_id == organisation_id,
            MembershipRow.role == role,
            UserRow.disabled_at.is_(None),
            LIVE,
        )
    )
    return await session.scalar(statement) is not None


async def delete_ended(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` keys that were revoked or have expired longer ago than `kept`; returns how many."""
    before = func.now() - kept
    over = or_(ApiKeyRow.revoked_at < before, ApiKeyRow.expires_at < before)
    ended = select(ApiKeyRow.id).where(over).limit(limit)
    return rows_affected(await session.execute(delete(ApiKeyRow).where(ApiKeyRow.id.in_(ended))))
