"""SQL of files. A file that the reader may not see does not exist."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import Select, delete, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.principal import Principal
from fluxprint_queue.files.models import Blob, File, Thumbnail
from fluxprint_queue.files.slicing import Picture
from fluxprint_queue.jobs.models import Job, in_states
from fluxprint_queue.jobs.states import OPEN


def readable(principal: Principal) -> Select[File]:
    """The files that a principal may see."""
    statement = select(File).where(File.organisation_id == principal.organisation_id, File.deleted_at.is_(None))
    return statement.where(File.uploaded_by == principal.subject) if principal.sees_only_own else statement


async def find(session: AsyncSession, principal: Principal, file_id: UUID, *, lock: bool = False) -> File | None:
    """One file; with `lock` it can't be deleted until the transaction ends."""
    statement = readable(principal).where(File.id == file_id)
    return await session.scalar(statement.with_for_update(read=True) if lock else statement)


async def list_page(session: AsyncSession, principal: Principal, *, before: UUID | None, limit: int) -> Sequence[File]:
    """Newest first."""
    statement = readable(principal).order_by(File.id.desc()).limit(limit)
    return (await session.scalars(statement.where(File.id < before) if before else statement)).all()


async def thumbnails(session: AsyncSession, file_ids: Sequence[UUID]) -> dict[UUID, list[Thumbnail]]:
    """The thumbnails of some files, without their bytes, smallest first."""
    columns = (Thumbnail.file_id, Thumbnail.width_px, Thumbnail.height_px, Thumbnail.media_type)
    rows = await session.execute(
        select(*columns).where(Thumbnail.file_id.in_(file_ids)).order_by(Thumbnail.width_px, Thumbnail.height_px)
    )
    found: dict[UUID, list[Thumbnail]] = {file_id: [] for file_id in file_ids}
    for row in rows:
        found[row.file_id].append(
            Thumbnail(file_id=row.file_id, width_px=row.width_px, height_px=row.height_px, media_type=row.media_type)
        )
    return found


async def thumbnail(session: AsyncSession, file_id: UUID, width_px: int, height_px: int) -> Thumbnail | None:
    return await session.get(Thumbnail, (file_id, width_px, height_px))


async def add(session: AsyncSession, file: File, pictures: Sequence[Picture]) -> None:
    """Add a file whose bytes stand in storage. Locks the content's row, so that nobody deletes it meanwhile."""
    blob = insert(Blob).values(sha256=file.sha256, size_bytes=file.size_bytes)
    await session.execute(
        blob.on_conflict_do_update(index_elements=[Blob.sha256], set_={"size_bytes": file.size_bytes})
    )
    session.add(file)
    await session.flush()
    session.add_all(
        Thumbnail(
            file_id=file.id,
            width_px=picture.width_px,
            height_px=picture.height_px,
            media_type=picture.media_type,
            content=picture.content,
        )
        for picture in pictures
    )
    await session.flush()


async def bytes_kept(session: AsyncSession, organisation_id: UUID) -> int:
    """How much an organisation's files hold, each counted whole. Until the transaction ends no other may add one."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(organisation_id.hex, 0))))
    kept = select(func.coalesce(func.sum(File.size_bytes), 0))
    return int(
        await session.scalar(kept.where(File.organisation_id == organisation_id, File.deleted_at.is_(None))) or 0
    )


async def has_open_jobs(session: AsyncSession, file_id: UUID) -> bool:
    """Whether a job that has not ended needs the file."""
    return bool(await session.scalar(select(exists().where(Job.file_id == file_id, in_states(OPEN)))))


async def mark_deleted(session: AsyncSession, principal: Principal, file_id: UUID) -> File | None:
    """Hide a file from everybody; its row stays for the history of its jobs."""
    file = await session.scalar(readable(principal).where(File.id == file_id).with_for_update())
    if file is not None:
        await session.execute(update(File).where(File.id == file_id).values(deleted_at=func.now()))
        await session.execute(delete(Thumbnail).where(Thumbnail.file_id == file_id))
    return file


async def is_referenced(session: AsyncSession, sha256: str) -> bool:
    """Whether a file that is not deleted has this content. Locks the content's row."""
    await session.execute(select(Blob.sha256).where(Blob.sha256 == sha256).with_for_update())
    return bool(await session.scalar(select(exists().where(File.sha256 == sha256, File.deleted_at.is_(None)))))
