"""SQL of idempotency keys."""

from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_queue.idempotency.models import IdempotencyKey


async def lock(session: AsyncSession, subject_id: UUID, operation: str, key: str) -> bool:
    """Take the key for this transaction; False while another one holds it."""
    name = func.hashtextextended(f"{subject_id}/{operation}/{key}", 0)
    return bool(await session.scalar(select(func.pg_try_advisory_xact_lock(name))))


async def find(session: AsyncSession, subject_id: UUID, operation: str, key: str) -> IdempotencyKey | None:
    return await session.get(IdempotencyKey, (subject_id, operation, key))


def add(
    session: AsyncSession, *, subject_id: UUID, operation: str, key: str, body_sha256: str, answer: dict[str, object]
) -> None:
    session.add(
        IdempotencyKey(subject_id=subject_id, operation=operation, key=key, body_sha256=body_sha256, answer=answer)
    )


async def prune(session: AsyncSession, *, keep_hours: int) -> None:
    """Forget keys that are older than the promise."""
    age = text("make_interval(hours => :hours)").bindparams(hours=keep_hours)
    await session.execute(delete(IdempotencyKey).where(IdempotencyKey.created_at < func.now() - age))
