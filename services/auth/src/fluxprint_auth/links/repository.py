"""SQL of one-time links."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.links.models import LinkKind, OneTimeLinkRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_Row = OneTimeLinkRow
_OPEN = (_Row.used_at.is_(None), _Row.expires_at > func.now())


async def replace(
    session: AsyncSession,
    kind: LinkKind,
    *,
    subject: str,
    user_id: UUID | None,
    token_hash: bytes,
    data: Mapping[str, str],
    lifetime: timedelta,
) -> None:
    """The one open link of a kind for a subject: an older one is worth nothing from now on."""
    values = {
        "user_id": user_id,
        "token_hash": token_hash,
        "data": dict(data),
        "created_at": func.now(),
        "expires_at": func.now() + lifetime,
    }
    await session.execute(
        postgresql.insert(_Row)
        .values(id=new_id(), kind=kind, subject=subject, **values)
        .on_conflict_do_update(index_elements=["kind", "subject"], index_where=text("used_at IS NULL"), set_=values)
    )


async def find(session: AsyncSession, kinds: frozenset[LinkKind], token_hash: bytes) -> OneTimeLinkRow | None:
    """A link that could be used now."""
    return await session.scalar(select(_Row).where(_Row.token_hash == token_hash, _Row.kind.in_(kinds), *_OPEN))


async def open_for(session: AsyncSession, kind: LinkKind, subject: str) -> OneTimeLinkRow | None:
    """The open link of a kind for a subject."""
    return await session.scalar(select(_Row).where(_Row.kind == kind, _Row.subject == subject, *_OPEN))


async def mark_used(session: AsyncSession, kinds: frozenset[LinkKind], token_hash: bytes) -> OneTimeLinkRow | None:
    """Use a link up; None where it can't be used. Of two at once, the second waits, and finds it used."""
    statement = (
        update(_Row)
        .where(_Row.token_hash == token_hash, _Row.kind.in_(kinds), *_OPEN)
        .values(used_at=func.now())
        .returning(_Row)
    )
    return await session.scalar(statement)


async def used_with(session: AsyncSession, kind: LinkKind, subject: str, *, change: str) -> bool:
    """Whether the link of a kind that belongs to the same change was used."""
    statement = select(_Row.id).where(
        _Row.kind == kind, _Row.subject == subject, _Row.used_at.is_not(None), _Row.data["change"].astext == change
    )
    return await session.scalar(statement) is not None


async def delete_of_user(session: AsyncSession, user_id: UUID) -> None:
    """Whatever was sent to a person is worth nothing any more."""
    await session.execute(delete(_Row).where(_Row.user_id == user_id))


async def delete_expired(session: AsyncSession, *, limit: int) -> int:
    """Delete up to `limit` links that have expired; returns how many."""
    old = select(_Row.id).where(_Row.expires_at < func.now()).limit(limit)
    return rows_affected(await session.execute(delete(_Row).where(_Row.id.in_(old))))
