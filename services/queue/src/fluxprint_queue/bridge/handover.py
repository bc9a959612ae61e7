"""A printer is freed while its bridge waits, ready to press start: one transaction does both. See ADR 19."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.database import Database, after_commit
from fluxprint_common.logs import get_logger
from fluxprint_common.problems import ServiceError
from fluxprint_common.revocations import Revocations
from fluxprint_queue.attempts import service as attempts
from fluxprint_queue.attempts.service import Claimed
from fluxprint_queue.bridge.waiters import Offer, Waiters
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
    waiters: Waiters = state.waiters
    waiter = waiters.ready(printer_id)
    offer = waiter.take() if waiter is not None else None
    if waiter is not None and offer is not None:
        try:
            async with database.unit_of_work() as session:
                answer = await free(session)
                if (claimed := await _claimed(state, session, printer_id, offer)) is not None:
                    after_commit(session, partial(waiter.give, claimed))
        except _ClaimFailed as failure:
            waiter.settle(offer)
            log.info("claim_with_confirmation_failed", error=str(failure.__cause__))
        except ServiceError:
            waiter.settle(offer)
            raise
        except BaseException:
            waiter.settle(None)  # a commit, for all that is known
            raise
        else:
            waiter.settle(offer)
            await asyncio.sleep(0)  # the bridge is answered first: a printer waits for it
            return answer
    async with database.unit_of_work() as session:
        return await free(session)


async def _claimed(state: Any, session: AsyncSession, printer_id: UUID, offer: Offer) -> Claimed | None:
    settings: QueueSettings = state.settings
    revocations: Revocations = state.revocations
    if revocations.refuse(offer.principal.session_id, offer.principal.issued_at):
        return None
    try:
        return await attempts.claim(
            session, settings, offer.principal, printer_id,
            journal_id=offer.journal_id, staged=offer.staged, ready=True, take_over=False,
        )  # fmt: skip
    except DBAPIError as error:
        raise _ClaimFailed from error
