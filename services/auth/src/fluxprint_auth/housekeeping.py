"""Deletes what has expired, so that no table grows with time alone."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.repository import delete_old_throttles
from fluxprint_auth.api_keys.repository import delete_ended as delete_ended_keys
from fluxprint_auth.factors.repository import delete_expired as delete_expired_challenges
from fluxprint_auth.invitations.repository import delete_over as delete_invitations
from fluxprint_auth.keys.repository import delete_withdrawn
from fluxprint_auth.links.repository import delete_expired as delete_expired_links
from fluxprint_auth.mail.repository import delete_old as delete_old_mails
from fluxprint_auth.pairings.repository import delete_old as delete_old_pairings
from fluxprint_auth.pairings.service import revoke_stranded
from fluxprint_auth.providers.repository import delete_expired_flows
from fluxprint_auth.revocations.repository import delete_expired as delete_expired_revocations
from fluxprint_auth.security.repository import delete_old as delete_old_security_events
from fluxprint_auth.sessions.repository import delete_expired
from fluxprint_auth.trusted_devices.repository import delete_expired as delete_expired_devices
from fluxprint_common.background import every
from fluxprint_common.database import Database

INTERVAL_S = 3600
FIRST_AFTER_S = 60  #: who starts has other things to do
BATCH = 1000
ENDED_SESSIONS_KEPT = timedelta(days=30)
ENDED_KEYS_KEPT = timedelta(days=90)
INVITATIONS_KEPT = timedelta(days=30)
SECURITY_EVENTS_KEPT = timedelta(days=400)
ENDED_MAILS_KEPT = timedelta(days=7)
WITHDRAWN_KEYS_KEPT = timedelta(days=7)
PAIRINGS_KEPT = timedelta(days=1)

Deletion = Callable[[AsyncSession], Awaitable[int]]


async def keep_house(database: Database, *, throttles_kept: timedelta, events_kept: timedelta) -> None:
    """Tidy up every hour, for ever."""
    tidying = partial(tidy_up, database, throttles_kept=throttles_kept, events_kept=events_kept)
    await every(INTERVAL_S, tidying, first_after_s=FIRST_AFTER_S)


async def tidy_up(
    database: Database, *, throttles_kept: timedelta, events_kept: timedelta = SECURITY_EVENTS_KEPT
) -> None:
    """Delete in batches, each a short transaction of its own.

    Raises:
        ExceptionGroup: of what failed, once all the others are done.
    """
    deletions: tuple[Deletion, ...] = (
        lambda session: delete_expired(session, kept=ENDED_SESSIONS_KEPT, limit=BATCH),
        lambda session: delete_ended_keys(session, kept=ENDED_KEYS_KEPT, limit=BATCH),
        lambda session: delete_expired_revocations(session, limit=BATCH),
        lambda session: delete_old_throttles(session, kept=throttles_kept, limit=BATCH),
        lambda session: delete_old_mails(session, kept=ENDED_MAILS_KEPT, limit=BATCH),
        lambda session: delete_expired_links(session, limit=BATCH),
        lambda session: delete_expired_devices(session, limit=BATCH),
        lambda session: delete_expired_challenges(session, limit=BATCH),
        lambda session: delete_invitations(session, kept=INVITATIONS_KEPT, limit=BATCH),
        lambda session: delete_old_security_events(session, kept=events_kept, limit=BATCH),
        lambda session: revoke_stranded(session, limit=BATCH),
        lambda session: delete_old_pairings(session, kept=PAIRINGS_KEPT, limit=BATCH),
        lambda session: delete_expired_flows(session, limit=BATCH),
        lambda session: delete_withdrawn(session, kept=WITHDRAWN_KEYS_KEPT, limit=BATCH),
    )
    failed: list[Exception] = []
    for deletion in deletions:
        try:
            await _all_of(database, deletion)
        except Exception as error:
            failed.append(error)
    if failed:
        raise ExceptionGroup("not everything was tidied up", failed)


async def _all_of(database: Database, deletion: Deletion) -> None:
    deleted = BATCH
    while deleted == BATCH:
        async with database.unit_of_work() as session:
            deleted = await deletion(session)
