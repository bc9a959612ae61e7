"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a repeated request gets the first one's answer.

The answer is stored in the transaction of the work itself, so that one never exists without the other.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.problems import Conflict, Invalid
from fluxprint_queue.idempotency import repository

KEEP_HOURS = 24

Answer = TypeVar("Answer", bound=BaseModel)


class KeyReused(Invalid):
    """This idempotency key was used for another request; use a new one"""

    code = "idempotency_key_reused"


class KeyInUse(Conflict):
    """A request with this idempotency key is still running; repeat it in a moment"""

    code = "idempotency_key_in_use"


async def once(
    session: AsyncSession,
    *,
    subject_id: UUID,
    operation: str,
    key: str | None,
    body: BaseModel,
    answer_type: type[Answer],
    work: Callable[[], Awaitable[Answer]],
) -> Answer:
    """Do `work` once for a key, or give the stored answer. Without a key, just do it.

    Raises:
        KeyReused: the key came with another body before. KeyInUse: the first request has not ended.
    """
    if key is None:
        return await work()
    digest = hashlib.sha256(body.model_dump_json().encode()).hexdigest()
    if not await repository.lock(session, subject_id, operation, key):
        raise KeyInUse(headers={"Retry-After": "1"})
    stored = await repository.find(session, subject_id, operation, key)
    if stored is not None:
        if stored.body_sha256 != digest:
            raise KeyReused
        return answer_type.model_validate(stored.answer)
    answer = await work()
    repository.add(
        session,
        subject_id=subject_id,
        operation=operation,
        key=key,
        body_sha256=digest,
        answer=answer.model_dump(mode="json"),
    )
    return answer
