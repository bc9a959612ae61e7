"""Rules of shares."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.shares import repository, tokens
from fluxprint_camera.shares.models import ShareRow
from fluxprint_common.database import Database, ReadSession
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Permission, Via
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Conflict, NotFound

#: What makes a share, and what its maker must go on having.
NEEDS = frozenset({Permission.CAMERAS_VIEW, Permission.PRINTERS_MANAGE})
KEPT = timedelta(days=1)
BATCH = 1000
#: Far longer than it takes a process to look again.
LATELY = timedelta(minutes=5)


class TooManyShares(Conflict):
    """This camera has as many shares as it may have; take one back first"""

    code = "too_many_shares"


@dataclass(frozen=True, kw_only=True)
class NewShare:
    """What a share is made of."""

    label: str
    expires_in_s: int
    max_viewers: int


async def create(
    session: AsyncSession, principal: Principal, camera_id: UUID, new: NewShare, *, at_most: int
) -> tuple[ShareRow, str]:
    """A new share of a camera, and its token, which is nowhere kept.

    Raises:
        NotFound: no such camera that the maker may see. TooManyShares: it has `at_most` of them.
    """
    await cameras.get(session, Sight.of(principal), camera_id)
    if await repository.count_live(session, camera_id) >= at_most:
        raise TooManyShares
    token = tokens.new_token()
    share = ShareRow(
        id=new_id(),
        organisation_id=principal.organisation_id,
        camera_id=camera_id,
        token_hash=tokens.digest(token),
        label=new.label,
        maker_id=principal.subject,
        api_key_id=principal.session_id if principal.via is Via.API_KEY else None,
        max_viewers=new.max_viewers,
        expires_at=await repository.expiry(session, in_s=new.expires_in_s),
    )
    await repository.insert(session, share)
    return share, token


async def take_back(session: AsyncSession, principal: Principal, camera_id: UUID, share_id: UUID) -> None:
    """End a share, whoever made it.

    Raises:
        NotFound
    """
    await cameras.get(session, Sight.of(principal), camera_id)
    if not await repository.end(session, camera_id, share_id):
        raise NotFound


async def opened_by(session: ReadSession, token: str) -> ShareRow | None:
    """The share that a token opens; None: there is none, or no longer."""
    return await repository.by_hash(session, tokens.digest(token)) if tokens.can_be(token) else None


async def tidy(database: Database) -> None:
    """Forget shares that are long over."""
    deleted = BATCH
    while deleted == BATCH:
        async with database.unit_of_work() as session:
            deleted = await repository.delete_over(session, kept=KEPT, limit=BATCH)
