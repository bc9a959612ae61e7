"""SQL of sessions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, delete, exists, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.sessions.models import EndReason, RefreshTokenRow, SessionRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role, Via

_UNSEEN = {"synchronize_session": False}  # nothing that is loaded already is looked at again


@dataclass(frozen=True)
class Holder:
    """What a person is in an organisation, and beside it."""

    role: Role
    is_administrator: bool
    is_disabled: bool


async def insert_session(
    session: AsyncSession,
    *,
    user_id: UUID,
    organisation_id: UUID,
    expires_at: datetime,
    second_factor: bool,
    address: str,
    device: str | None,
    fingerprint: bytes,
) -> SessionRow:
    """A new session."""
    row = SessionRow(
        id=new_id(),
        user_id=user_id,
        organisation_id=organisation_id,
        expires_at=expires_at,
        second_factor=second_factor,
        address=address,
        device=device,
        fingerprint=fingerprint,
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
    shown = (table.session_id == token.session_id) & table.successor_nonce.is_not(None)
    await session.execute(update(table).where(shown).values(successor_nonce=None))
    await session.execute(update(table).where(table.id == token.id).values(rotated_at=at, successor_nonce=nonce))


async def holder(session: AsyncSession, *, user_id: UUID, organisation_id: UUID, lock: bool) -> Holder | None:
    """What a token says of a person in an organisation; None where they are no member.

    Args:
        lock: nobody changes any of it until the end of the transaction. For what begins to speak for an organisation:
            who takes a membership away ends the sessions that are in it, and must find this one there.
    """
    statement = (
        select(MembershipRow.role, UserRow.is_administrator, UserRow.disabled_at)
        .join(UserRow, UserRow.id == MembershipRow.user_id)
        .where(MembershipRow.user_id == user_id, MembershipRow.organisation_id == organisation_id)
    )
    if lock:
        statement = statement.with_for_update(read=True)
    row = (await session.execute(statement)).one_or_none()
    return None if row is None else Holder(Role(row.role), row.is_administrator, row.disabled_at is not None)


async def lock(session: AsyncSession, session_id: UUID) -> SessionRow | None:
    """A session which goes on, locked until the end of the transaction."""
    statement = select(SessionRow).where(SessionRow.id == session_id, goes_on())
    return await session.scalar(statement.with_for_update())


async def end(session: AsyncSession, session_id: UUID, reason: EndReason, *, user_id: UUID) -> UUID | None:
    """End a session of that person; returns the organisation that it was in, None where it had ended already."""
    statement = (
        update(SessionRow)
        .where(SessionRow.id == session_id, SessionRow.user_id == user_id, goes_on())
        .values(ended_at=func.now(), end_reason=reason)
        .returning(SessionRow.organisation_id)
    )
    return await session.scalar(statement)


async def end_all(
    session: AsyncSession, user_id: UUID, reason: EndReason, *, organisation_id: UUID | None, except_id: UUID | None
) -> Sequence[UUID]:
    """End all sessions of a person, or those in one organisation; returns which. One that begins now comes after it."""
    await session.execute(select(UserRow.id).where(UserRow.id == user_id).with_for_update(key_share=True))
    ids = _locked(user_id)
    if organisation_id is not None:
        ids = ids.where(SessionRow.organisation_id == organisation_id)
    if except_id is not None:
        ids = ids.where(SessionRow.id != except_id)
    statement = update(SessionRow).where(SessionRow.id.in_(ids)).values(ended_at=func.now(), end_reason=reason)
    return (await session.scalars(statement.returning(SessionRow.id), execution_options=_UNSEEN)).all()


async def lock_all(session: AsyncSession, user_id: UUID, *, organisation_id: UUID | None) -> Sequence[UUID]:
    """The sessions of a person, or those in one organisation: no token is made of them until the transaction ends."""
    statement = select(SessionRow.id).where(SessionRow.user_id == user_id, goes_on()).order_by(SessionRow.id)
    if organisation_id is not None:
        statement = statement.where(SessionRow.organisation_id == organisation_id)
    return (await session.scalars(statement.with_for_update())).all()


async def live_of(session: AsyncSession, user_id: UUID, *, before_id: UUID | None, limit: int) -> Sequence[SessionRow]:
    """The sessions of a person that go on, newest first. One whose last refresh token has ended does not."""
    statement = (
        select(SessionRow).where(SessionRow.user_id == user_id, can_go_on()).order_by(SessionRow.id.desc()).limit(limit)
    )
    if before_id is not None:
        statement = statement.where(SessionRow.id < before_id)
    return (await session.scalars(statement)).all()


async def get(session: AsyncSession, session_id: UUID) -> SessionRow | None:
    """A session, also one that has ended."""
    return await session.get(SessionRow, session_id)


async def by_token(session: AsyncSession, token_hash: bytes) -> SessionRow | None:
    """The session that a refresh token is of, whatever has become of both."""
    statement = select(SessionRow).join(RefreshTokenRow, RefreshTokenRow.session_id == SessionRow.id)
    return await session.scalar(statement.where(RefreshTokenRow.token_hash == token_hash))


async def unprove(session: AsyncSession, user_id: UUID, *, except_id: UUID) -> Sequence[UUID]:
    """Take from a person's live sessions, but for one, that anything was proved in them; returns their ids."""
    statement = (
        update(SessionRow)
        .where(SessionRow.id.in_(_locked(user_id).where(SessionRow.id != except_id)))
        .values(authenticated_at=func.to_timestamp(0), second_factor=False)
        .returning(SessionRow.id)
    )
    return (await session.scalars(statement, execution_options=_UNSEEN)).all()


async def is_live(
    session: AsyncSession, session_id: UUID, *, user_id: UUID, organisation_id: UUID, role: Role, is_administrator: bool
) -> bool:
    """Whether the session goes on, and its person still is what a token says."""
    statement = (
        select(SessionRow.id)
        .join(
            MembershipRow,
            (MembershipRow.user_id == SessionRow.user_id)
            & (MembershipRow.organisation_id == SessionRow.organisation_id),
        )
        .join(UserRow, UserRow.id == SessionRow.user_id)
        .where(
            SessionRow.id == session_id,
            SessionRow.user_id == user_id,
            SessionRow.organisation_id == organisation_id,
            goes_on(),
            MembershipRow.role == role,
            UserRow.disabled_at.is_(None),
        )
    )
    if is_administrator:
        statement = statement.where(UserRow.is_administrator)
    return await session.scalar(statement) is not None


def _locked(user_id: UUID) -> Select[UUID]:
    """The sessions of a person that were not ended, locked one after the other: two who change several of them at once
    wait for each other in the same order as in `lock_all`."""
    statement = select(SessionRow.id).where(SessionRow.user_id == user_id, SessionRow.ended_at.is_(None))
    return statement.order_by(SessionRow.id).with_for_update()


def can_go_on() -> ColumnElement[bool]:
    """Of a session: it goes on, and can get another access token."""
    token = exists().where(RefreshTokenRow.session_id == SessionRow.id, RefreshTokenRow.expires_at > func.now())
    return and_(goes_on(), or_(token, SessionRow.via != Via.SESSION))


def goes_on() -> ColumnElement[bool]:
    """Of a session: it has not ended."""
    return and_(SessionRow.ended_at.is_(None), SessionRow.expires_at > func.now())


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
