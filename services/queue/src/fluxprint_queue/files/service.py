"""Rules of files."""

import asyncio
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_common.database import Database
from fluxprint_common.ids import new_id, show
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Conflict, Invalid, NotFound
from fluxprint_queue.events import repository as events
from fluxprint_queue.files import gcode, names, repository, slicing
from fluxprint_queue.files.models import File
from fluxprint_queue.files.storage import LocalStorage, StagedFile
from fluxprint_queue.files.upload import Upload


class FileNotFound(NotFound):
    """There is no such file, or it is not yours"""

    code = "file_not_found"


class FileInUse(Conflict):
    """A job that has not ended needs this file; cancel it first"""

    code = "file_in_use"


class QuotaExceeded(Conflict):
    """Your organisation keeps as many bytes in files as it may; delete some first"""

    code = "storage_quota_exceeded"


class ChecksumMismatch(Invalid):
    """The bytes that arrived are not the ones that were announced; send the file again"""

    code = "checksum_mismatch"


async def store(
    database: Database,
    storage: LocalStorage,
    principal: Principal,
    staged: StagedFile,
    upload: Upload,
    *,
    quota_bytes: int,
) -> tuple[File, list[slicing.Picture]]:
    """Check a received file and keep it.

    No transaction is open while the disk works. Bytes are moved into place inside the transaction that refers to them:
    a failed commit leaves at most unreferenced content, which the next upload of the same bytes adopts.

    Raises:
        NameInvalid, FileEmpty, NotGcode, GcodeTruncated, ChecksumMismatch, QuotaExceeded, StorageFull
    """
    name, extension = names.normalise(upload.file_name)
    sha256 = await staged.finish()
    announced = upload.fields.get("sha256")
    if announced and announced.lower() != sha256:
        raise ChecksumMismatch(f"Announced {announced[:64]!r}, received {sha256!r}.")
    excerpt = await asyncio.to_thread(gcode.inspect, staged.path)
    claims, pictures = await asyncio.to_thread(lambda: (slicing.read(excerpt), slicing.pictures(excerpt)))
    file = File(
        id=new_id(),
        organisation_id=principal.organisation_id,
        name=name,
        extension=extension,
        sha256=sha256,
        size_bytes=staged.size_bytes,
        slicing=claims.model_dump(mode="json"),
        uploaded_by=principal.subject,
    )
    async with database.unit_of_work() as session:
        if await repository.bytes_kept(session, principal.organisation_id) + file.size_bytes > quota_bytes:
            raise QuotaExceeded
        await repository.add(session, file, pictures)
        await storage.keep(staged, sha256)
        events.append(
            session,
            "file.created",
            subject=show("file", file.id),
            organisation_id=principal.organisation_id,
            data={"name": name, "size_bytes": file.size_bytes},
        )
    return file, pictures


async def get(session: AsyncSession, principal: Principal, file_id: UUID) -> File:
    """One file. Raises: FileNotFound"""
    file = await repository.find(session, principal, file_id)
    if file is None:
        raise FileNotFound
    return file


async def remove(session: AsyncSession, principal: Principal, file_id: UUID) -> str:
    """Delete a file; the SHA-256 of its content. Raises: FileNotFound, FileInUse"""
    file = await repository.mark_deleted(session, principal, file_id)
    if file is None:
        raise FileNotFound
    if await repository.has_open_jobs(session, file_id):
        raise FileInUse
    events.append(
        session,
        "file.deleted",
        subject=show("file", file_id),
        organisation_id=principal.organisation_id,
        data={"name": file.name},
    )
    return file.sha256


async def drop_content(database: Database, storage: LocalStorage, sha256: str) -> None:
    """Remove content from storage that no file has any more."""
    async with database.unit_of_work() as session:
        if not await repository.is_referenced(session, sha256):
            await storage.delete(sha256)
