"""A printer is freed while its bridge waits, ready to press start: one transaction does both. See ADR 19."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.database import Database, after_commit
from fluxprint_common.logs import get_logger
from fluxprint_common.revocations import Revocations
from fluxprint_queue.attempts import service as attempts
from fluxprint_queue.bridge.waiters import Waiter, Waiters
from fluxprint_queue.settings import QueueSettings

log = get_logger(__name__)

Answer = TypeVar("Answer")


class _ClaimFailed(Exception):
    """Nothing of the transaction is kept."""


async def freeing(state: Any, printer_id: UUID, free: Callable[[AsyncSession], Awaitable[Answer]]) -> Answer:
    """Do what frees a printer; where its bridge waits and is ready, claim for it in the same transaction.

    Args:
        state: the application's.
        free: what a person asked for. It counts whatever becomes of the claim: where that fails, it is done once more
            alone, and the bridge claims for itself.

    Raises:
        what `free` raises.
    """
    database: Database = state.database
    waiter = _ready(state, printer_id)
    if waiter is not None:
        try:
            async with database.unit_of_work() as session:
                answer = await free(session)
                await _claim(state.settings, session, printer_id, waiter)
            await asyncio.sleep(0)  # the bridge is answered first: a printer waits for it
            return answer
        except _ClaimFailed as failure:
            log.info("claim with a confirmation failed", error=str(failure.__cause__))
    async with database.unit_of_work() as session:
        return await free(session)


def _ready(state: Any, printer_id: UUID) -> Waiter | None:
    waiters: Waiters = state.waiters
    revocations: Revocations = state.revocations
    waiter = waiters.ready(printer_id)
    if waiter is None or waiter.offer is None:
        return None
    bridge = waiter.offer.principal
    return None if revocations.refuse(bridge.session_id, bridge.issued_at) else waiter


async def _claim(settings: QueueSettings, session: AsyncSession, printer_id: UUID, waiter: Waiter) -> None:
    offer = waiter.offer
    if offer is None:  # it has gone meanwhile
        return
    try:
        claimed = await attempts.claim(
            session, settings, offer.principal, printer_id,
            journal_id=offer.journal_id, staged=offer.staged, ready=True, take_over=False,
        )  # fmt: skip
    except DBAPIError as error:
        raise _ClaimFailed from error
    if claimed is not None:
        after_commit(session, lambda: waiter.give(claimed))
