"""Who comes with a share's token."""

from datetime import UTC, datetime

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.requests import HTTPConnection

from fluxprint_camera.shares import service, tokens
from fluxprint_camera.shares.models import ShareRow
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.database import Database
from fluxprint_common.problems import Unauthenticated, from_database
from fluxprint_common.ratelimit import RateLimiter, network
from fluxprint_common.standing import Ground

is_share = tokens.claims_to_be
DATABASE_ERRORS = (DBAPIError, PoolTimeout, ConnectionError, TimeoutError)


async def watcher_of(connection: HTTPConnection, token: str) -> Watcher:
    """The watcher that a share makes.

    Raises:
        Unauthenticated: there is no such share, or it has ended. RateLimited: too many were guessed from this address.
        Unavailable: whether its maker may still share could not be asked.
    """
    state = connection.app.state
    grants: Grants = state.grants
    share = await _look_up(state.database, token)
    if share is None:
        limiter: RateLimiter = state.rate_limiter
        address = connection.client.host if connection.client else ""
        await limiter.hit(state.settings.limit_share_guesses, "share", network(address))
        raise Unauthenticated("This link is not valid any more; ask for a new one.")
    ground = Ground(share.maker_id, share.organisation_id, api_key_id=share.api_key_id)
    since = await grants.confirm(ground, service.NEEDS)
    watcher = _watcher(share, ground, since)
    if grants.refuse(watcher):
        raise Unauthenticated("This link was taken back.")
    return watcher


async def _look_up(database: Database, token: str) -> ShareRow | None:
    try:
        async with database.reading() as session:
            return await service.opened_by(session, token)
    except DATABASE_ERRORS as error:  # FastAPI's error handlers answer requests only, and this may be a WebSocket
        translated = from_database(error, {})
        if translated is None:
            raise
        raise translated from error


def _watcher(share: ShareRow, ground: Ground, since: datetime) -> Watcher:
    keys = () if share.api_key_id is None else (share.api_key_id,)
    return Watcher(
        organisation_id=share.organisation_id,
        person_id=share.id,
        session_id=share.id,
        issued_at=since,
        expires_at=share.expires_at.astimezone(UTC),
        cameras=frozenset({share.camera_id}),
        ground=ground,
        needs=service.NEEDS,
        heard_of=(share.maker_id, *keys),
        max_viewers=share.max_viewers,
    )
