"""Files that were just uploaded: their job comes in a moment, and free printers may have the bytes by then.

Nothing is promised to them. What a claim takes is chosen as ever, and a file that got no job is no printer's after a
while: docs/adr/0018-uploads-are-staged.md.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.principal import Principal
from fluxprint_queue.attempts.models import states_sql
from fluxprint_queue.attempts.states import LIVE
from fluxprint_queue.files.models import File

#: Of an organisation's free printers so many get the bytes, whatever its farm is like: one of them prints.
AT_MOST = 3

# The same ones at each question, so that none brings what it has to take away again.
_FREE = f"""
    SELECT p.id, p.bridge_id FROM queue.printer p
     WHERE p.organisation_id = :organisation_id AND p.deleted_at IS NULL AND p.enabled AND p.bed_state = 'clear'
       AND NOT EXISTS (SELECT FROM queue.attempt a WHERE a.printer_id = p.id AND a.state IN {states_sql(LIVE)})
     ORDER BY p.connection <> 'online', p.id
     LIMIT {AT_MOST}
"""  # noqa: S608  (only our own state names are put together)

# The newest file alone: whoever uploads a hundred of them will not print the last but one in a moment.
_NEWEST = text(
    f"""
    SELECT newest.* FROM (
        SELECT * FROM queue.file WHERE organisation_id = :organisation_id AND deleted_at IS NULL
         ORDER BY id DESC LIMIT 1) newest
     WHERE newest.created_at > now() - make_interval(secs => :recent_s)
       AND (CAST(:sha256 AS text) IS NULL OR newest.sha256 = :sha256)
       AND NOT EXISTS (SELECT FROM queue.job j WHERE j.file_id = newest.id)
       AND EXISTS (SELECT FROM ({_FREE}) free WHERE free.id = :printer_id AND free.bridge_id = :bridge_id)
    """  # noqa: S608
)


async def recent_file(
    session: AsyncSession, principal: Principal, printer_id: UUID, *, recent_s: int, sha256: str | None = None
) -> File | None:
    """The organisation's newest file, if it is no older than `recent_s`, has had no job, and this printer may have it.

    With `sha256` only if it has this content.
    """
    found: File | None = await session.scalar(
        select(File).from_statement(_NEWEST),
        {
            "organisation_id": principal.organisation_id,
            "printer_id": printer_id,
            "bridge_id": principal.subject,
            "recent_s": recent_s,
            "sha256": sha256,
        },
    )
    return found


async def printers_for(session: AsyncSession, organisation_id: UUID) -> Sequence[tuple[UUID, UUID]]:
    """The printers that may have it, with their bridges."""
    rows = await session.execute(text(_FREE), {"organisation_id": organisation_id})
    return [(row.id, row.bridge_id) for row in rows]
