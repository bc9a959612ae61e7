"""Ending access tokens before their time. See docs/adr/0013-accounts.md."""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.revocations import repository
from fluxprint_auth.revocations.schemas import LIMIT
from fluxprint_common.database import Database, after_commit
from fluxprint_common.doorbell import Publisher
from fluxprint_common.principal import MAX_ACCESS_TOKEN_S
from fluxprint_common.revocations import CHANNEL, Batch, Revocation, Revocations, Source, message
from fluxprint_common.tokens import LEEWAY_S

#: Whatever a lifetime is set to, no service believes a token for longer.
_OUTLIVES_TOKENS = timedelta(seconds=MAX_ACCESS_TOKEN_S + 2 * LEEWAY_S)
_IN_ONE_MESSAGE = 500

RING = "revocations"
Ring = Callable[[Sequence[Revocation]], None]


async def revoke(session: AsyncSession, sid: UUID, *, before: datetime | None = None) -> None:
    """Have every service refuse the access tokens of a session, an API key or a bridge, once this is committed.

    Args:
        before: refuse those made until then; None: all that there are, for what has ended and gets no other.
    """
    await revoke_all(session, [sid], before=before)


async def revoke_all(session: AsyncSession, sids: Collection[UUID], *, before: datetime | None = None) -> None:
    """`revoke`, for several at once."""
    if not sids:
        return
    expires_at = (before or await repository.clock_time(session)) + _OUTLIVES_TOKENS
    await repository.insert_all(session, sids, made_before=before, expires_at=expires_at)
    _ring(session, [Revocation(sid, before) for sid in sids])


async def revoke_so_far(session: AsyncSession, sids: Collection[UUID]) -> None:
    """Refuse the access tokens made until now, for what goes on with others: another role, another organisation.

    Call it behind the locks of what the tokens are made from; whoever makes the next one asks `not_made_before`.
    """
    if sids:
        # The clock of whoever makes tokens is ours, the one that everybody shares is the database's.
        before = max(await repository.clock_time(session), datetime.now(UTC))
        await revoke_all(session, sids, before=before)


async def tell_of_person(session: AsyncSession, user_id: UUID) -> None:
    """Whatever stands on a person being who they were until now is to be looked at anew: links that they shared.

    No access token has a person's id as its `sid`; what has ended for their sessions and keys is said beside this.
    """
    await revoke_so_far(session, [user_id])


async def not_made_before(session: AsyncSession, sid: UUID) -> datetime | None:
    """What the next access token of this must be younger than, so that it is not refused with the ones before it."""
    return await repository.made_before(session, sid)


async def read(session: AsyncSession, after: int) -> Batch:
    """What was revoked behind a position.

    The position to go on from stays behind what a running transaction could still insert before: some are told twice.
    """
    rows = await repository.after(session, after, limit=LIMIT)
    more = len(rows) == LIMIT
    position = rows[-1].id if more else await repository.settled_id(session)
    return Batch([Revocation(row.sid, row.made_before) for row in rows], after=position, more=more)


def source(database: Database) -> Source:
    """What this service itself follows: its own table."""

    async def ask(after: int) -> Batch:
        async with database.reading() as session:
            return await read(session, after)

    return ask


def _ring(session: AsyncSession, revocations: list[Revocation]) -> None:
    """Tell everybody after the commit. Who does not hear it asks within seconds."""
    ring: Ring | None = session.info.get(RING)
    if ring is not None:
        after_commit(session, lambda: ring(revocations))


def ringing(publisher: Publisher, own: Revocations | None = None) -> dict[str, Ring]:
    """What a session needs in its `info`, so that what it revokes is heard of: by others, and by this process."""

    def ring(revocations: Sequence[Revocation]) -> None:
        if own is not None:
            for revocation in revocations:
                own.add(revocation)
        for start in range(0, len(revocations), _IN_ONE_MESSAGE):
            publisher.publish(CHANNEL, message(revocations[start : start + _IN_ONE_MESSAGE]))

    return {RING: ring}
