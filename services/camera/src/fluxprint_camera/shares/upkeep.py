"""What happens to shares by the clock."""

from fluxprint_camera.shares import repository, service
from fluxprint_camera.viewers.grants import Grants
from fluxprint_common.background import every
from fluxprint_common.database import Database
from fluxprint_common.revocations import Revocation

TIDY_S = 3600


async def hear_of_ended(database: Database, grants: Grants, interval_s: float) -> None:
    """Look for shares that were taken back in another process, for ever: Redis is quicker, where it is."""

    async def look() -> None:
        async with database.reading() as session:
            ended = await repository.ended_within(session, service.LATELY, limit=service.BATCH)
        for share_id in ended:
            grants.revocations.add(Revocation(share_id, None))

    await every(interval_s, look)


async def tidy(database: Database) -> None:
    """Forget shares that are long over, for ever."""
    await every(TIDY_S, lambda: service.tidy(database))
