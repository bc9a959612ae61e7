"""SQL of sessions."""

from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.sessions.models import EndReason, RefreshTokenRow, SessionRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role


async def insert_session(
    session: AsyncSession, *, user_id: UUID, organisation_id: UUID, expires_at: datetime, second_factor: bool
) -> SessionRow:
    """A new session."""
    row = SessionRow(
        id=new_id(),
        user_id=user_id,
        organisation_id=organisation_id,
        expires_at=expires_at,
        second_factor=second_factor,
    )
    session.add(row)
    await session.flush()
    return row


async def insert_token(session: AsyncSession, *, session_id: UUID, token_hash: bytes, expires_at: datetime) -> None:
    """The session's current refresh token; there must be none."""
    session.add(RefreshTokenRow(id=new_id(), session_id=session_id, token_hash=token_hash, expires_at=expires_at))
    await session.flush()


async def lock_family(session: AsyncSession, token_hash: bytes) -> tuple[SessionRow, RefreshTokenRow] | None:
    """A token and its session, with the session locked until the end of the transaction."""
    by_hash = RefreshTokenRow.token_hash == token_hash
    session_id = select(RefreshTokenRow.session_id).where(by_hash).scalar_subquery()
    family = await session.scalar(select(SessionRow).where(SessionRow.id == session_id).with_for_update())
    if family is None:
        return None
    # Only now, behind the lock: a join would show the token as it was before another request rotated it.
    token = await session.scalar(select(RefreshTokenRow).where(by_hash))
    return (family, token) if token is not None else None


async def token_by_hash(session: AsyncSession, token_hash: bytes) -> RefreshTokenRow:
    """A token that must be there."""
    return (await session.scalars(select(RefreshTokenRow).where(RefreshTokenRow.token_hash == token_hash))).one()


async def mark_rotated(session: AsyncSession, token: RefreshTokenRow, *, at: datetime, nonce: bytes) -> None:
    """The token is no longer current; of the whole family, only it can now show its successor again."""
    table = RefreshTokenRow
    await session.execute(update(table).where(table.session_id == token.session_id).values(successor_nonce=None))
    await session.execute(update(table).where(table.id == token.id).values(rotated_at=at, successor_nonce=nonce))


async def end(session: AsyncSession, session_id: UUID, reason: EndReason) -> bool:
    """End a session; False where it had ended already."""
    statement = (
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.ended_at.is_(None))
        .values(ended_at=func.now(), end_reason=reason)
    )
    return rows_affected(await session.execute(statement)) == 1


async def is_live(session: AsyncSession, session_id: UUID, *, user_id: UUID, organisation_id: UUID, role: Role) -> bool:
    """Whether the session goes on, and its person still has that role there."""
    statement = (
        select(SessionRow.id)
        .join(
            MembershipRow,
            (MembershipRow.user_id == SessionRow.user_id)
            & (MembershipRow.organisation_id == SessionRow.organisation_id),
        )
        .where(
            SessionRow.id == session_id,
            SessionRow.user_id == user_id,
            SessionRow.organisation_id == organisation_id,
            SessionRow.ended_at.is_(None),
            SessionRow.expires_at > func.now(),
            MembershipRow.role == role,
        )
    )
    return await session.scalar(statement) is not None


async def delete_expired(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Delete up to `limit` tokens that have expired, and as many sessions that ended longer ago than `kept`.

    Returns:
        The larger of both counts.
    """
    tokens = select(RefreshTokenRow.id).where(RefreshTokenRow.expires_at < func.now()).limit(limit)
    before = func.now() - kept
    over = or_(SessionRow.expires_at < before, SessionRow.ended_at < before)
    sessions = select(SessionRow.id).where(over).limit(limit)
    counts = [
        rows_affected(await session.execute(delete(RefreshTokenRow).where(RefreshTokenRow.id.in_(tokens)))),
        rows_affected(await session.execute(delete(SessionRow).where(SessionRow.id.in_(sessions)))),
    ]
    return max(counts)
