"""SQL of the outbox."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.mail.models import MailRow
from fluxprint_common.database import rows_affected
from fluxprint_common.ids import new_id

_WAITING = (MailRow.sent_at.is_(None), MailRow.failed_at.is_(None))


@dataclass(frozen=True)
class Waiting:
    """How many mails wait, and for how long the oldest does."""

    count: int
    oldest_s: float


async def insert(
    session: AsyncSession, *, template: str, recipient: str | None, content: bytes, give_up_after: timedelta
) -> UUID:
    """A mail to be sent."""
    row = MailRow(
        id=new_id(),
        template=template,
        recipient=recipient,
        content=content,
        tries=0,
        next_try_at=func.now(),
        give_up_at=func.now() + give_up_after,
    )
    session.add(row)
    await session.flush()
    return row.id


async def claim(session: AsyncSession, *, lease: timedelta) -> MailRow | None:
    """The mail whose turn it is, which nobody else gets until the lease is over."""
    due = (
        select(MailRow.id)
        .where(*_WAITING, MailRow.next_try_at <= func.now())
        .order_by(MailRow.next_try_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    statement = (
        update(MailRow)
        .where(MailRow.id == due)
        .values(tries=MailRow.tries + 1, next_try_at=func.now() + lease)
        .returning(MailRow)
    )
    return await session.scalar(statement)


async def mark_sent(session: AsyncSession, mail_id: UUID, *, tries: int) -> bool:
    """It was sent; False where another has taken it over meanwhile."""
    return await _change(session, mail_id, tries, sent_at=func.now(), content=None, error=None)


async def mark_failed(session: AsyncSession, mail_id: UUID, *, tries: int, error: str) -> bool:
    """It will never be sent."""
    return await _change(session, mail_id, tries, failed_at=func.now(), content=None, error=error)


async def postpone(session: AsyncSession, mail_id: UUID, *, tries: int, pause: timedelta, error: str) -> bool:
    """It is tried again after a pause. True where that would be too late, and nothing was changed."""
    in_time = MailRow.give_up_at > func.now()
    held = (MailRow.id == mail_id, MailRow.tries == tries, *_WAITING, in_time)
    statement = update(MailRow).where(*held).values(next_try_at=func.now() + pause, error=error)
    if rows_affected(await session.execute(statement)) == 1:
        return False
    return (
        await session.scalar(select(MailRow.id).where(MailRow.id == mail_id, MailRow.tries == tries, *_WAITING))
        is not None
    )


async def waiting(session: AsyncSession) -> Waiting:
    """What is in the outbox now."""
    age = func.extract("epoch", func.now() - func.min(MailRow.created_at))
    count, oldest_s = (await session.execute(select(func.count(), age).where(*_WAITING))).one()
    return Waiting(count, float(oldest_s or 0))


async def delete_old(session: AsyncSession, *, kept: timedelta, limit: int) -> int:
    """Forget up to `limit` mails that were sent, or given up, longer ago than `kept`; returns how many."""
    before = func.now() - kept
    over = or_(MailRow.sent_at < before, MailRow.failed_at < before)
    # What ended before then was written before then, and only that has an index.
    old = select(MailRow.id).where(MailRow.created_at < before, over).limit(limit)
    return rows_affected(await session.execute(delete(MailRow).where(MailRow.id.in_(old))))


async def _change(session: AsyncSession, mail_id: UUID, tries: int, **values: object) -> bool:
    held = (MailRow.id == mail_id, MailRow.tries == tries, *_WAITING)
    return rows_affected(await session.execute(update(MailRow).where(*held).values(**values))) == 1
