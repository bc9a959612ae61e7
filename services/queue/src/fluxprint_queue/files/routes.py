"""HTTP of files."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Path, Request, Response
from fastapi.responses import FileResponse

from fluxprint_common.database import Database, Reading, Session
from fluxprint_common.openapi import binary, problems
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_subject
from fluxprint_queue.files import repository, service, upload
from fluxprint_queue.files.models import File as FileRow
from fluxprint_queue.files.models import Thumbnail
from fluxprint_queue.files.schemas import File
from fluxprint_queue.files.storage import LocalStorage
from fluxprint_queue.ids import FileId
from fluxprint_queue.settings import QueueSettings

router = APIRouter(prefix="/files", tags=["files"])

Reader = Annotated[Principal, require(Permission.FILES_READ)]
Writer = Annotated[Principal, require(Permission.FILES_WRITE)]

_UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "title": "FileUpload",
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": "The G-code, with its file name.",
                        },
                        "sha256": {
                            "type": "string",
                            "pattern": "^[0-9a-fA-F]{64}$",
                            "maxLength": 64,
                            "description": "Refuse the file where it does not arrive as this.",
                        },
                    },
                }
            }
        },
    }
}


class DownloadResponse(FileResponse):
    """A file with ranges (RFC 9110); larger pieces than the default, which costs a thread hop each."""

    chunk_size = 1024 * 1024


@router.post(
    "",
    summary="Upload a file",
    status_code=201,
    response_model=File,
    responses=problems(401, 403, 409, 413, 415, 507),
    openapi_extra=_UPLOAD_BODY,
    dependencies=[limit_by_subject("uploads", "limit_uploads")],
)
async def upload_file(request: Request, response: Response, principal: Writer) -> File:
    """Upload a G-code file (.gcode, .gco, .g).

    The bytes are streamed to storage, checked to be whole G-code, and read for what the slicer wrote into them.
    Nothing prints by it. A refused file leaves no trace.
    """
    settings: QueueSettings = request.app.state.settings
    storage: LocalStorage = request.app.state.storage
    database: Database = request.app.state.database
    async with storage.staging() as staged:
        received = await upload.receive(request, staged, max_bytes=settings.max_file_bytes)
        file, pictures = await service.store(
            database, storage, principal, staged, received, quota_bytes=settings.storage_bytes
        )
    response.headers["Location"] = f"/api/v1/files/file_{file.id.hex}"
    return _shown(file, [Thumbnail(**vars(picture), file_id=file.id) for picture in pictures])


@router.get("", summary="List files", response_model=Page[File], responses=problems(401, 403))
async def list_files(session: Reading, principal: Reader, paging: Paging) -> Page[File]:
    """The organisation's files, newest first."""
    rows = await repository.list_page(session, principal, before=paging.after_id, limit=paging.limit + 1)
    found = await repository.thumbnails(session, [row.id for row in rows])
    return page(rows, paging, id_of=lambda row: row.id, show=lambda row: _shown(row, found[row.id]))


@router.get("/{file_id}", summary="Get a file", response_model=File, responses=problems(401, 403, 404))
async def get_file(session: Reading, principal: Reader, file_id: FileId) -> File:
    """One file."""
    file = await service.get(session, principal, file_id)
    found = await repository.thumbnails(session, [file.id])
    return _shown(file, found[file.id])


@router.get(
    "/{file_id}/content",
    summary="Download a file",
    response_class=Response,
    responses=problems(401, 403, 404, 416)
    | {
        200: binary("text/x-gcode", "The file's bytes.", ETag="The content's SHA-256."),
        206: binary("text/x-gcode", "The bytes of a range."),
    },
)
async def download_file(request: Request, session: Reading, principal: Reader, file_id: FileId) -> Response:
    """The file's bytes, with ranges."""
    file = await service.get(session, principal, file_id)
    return content_response(request.app.state.storage, file)


@router.get(
    "/{file_id}/thumbnails/{width_px}x{height_px}",
    summary="Get a picture of a file",
    response_class=Response,
    responses=problems(401, 403, 404) | {200: binary("image/png", "The picture; PNG, JPEG or QOI as the file has it.")},
)
async def get_thumbnail(
    session: Reading,
    principal: Reader,
    file_id: FileId,
    width_px: Annotated[int, Path(ge=1, le=4096)],
    height_px: Annotated[int, Path(ge=1, le=4096)],
) -> Response:
    """A picture that the slicer put into the file."""
    file = await service.get(session, principal, file_id)
    found = await repository.thumbnail(session, file.id, width_px, height_px)
    if found is None:
        raise NotFound("The file has no picture of that size.")
    return Response(found.content, media_type=found.media_type, headers={"Cache-Control": "private, max-age=86400"})


@router.delete(
    "/{file_id}",
    summary="Delete a file",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 409),
)
async def delete_file(
    request: Request, session: Session, principal: Writer, file_id: FileId, background: BackgroundTasks
) -> Response:
    """Delete a file that no unfinished job needs."""
    sha256 = await service.remove(session, principal, file_id)
    background.add_task(service.drop_content, request.app.state.database, request.app.state.storage, sha256)
    return Response(status_code=204, background=background)


def content_response(storage: LocalStorage, file: FileRow) -> Response:
    """The content of a file that the caller was found to be allowed to read."""
    return DownloadResponse(
        storage.path(file.sha256),
        media_type="text/x-gcode",
        filename=file.name,
        headers={"ETag": f'"{file.sha256}"', "Accept-Ranges": "bytes"},
    )


def _shown(file: FileRow, thumbnails: list[Thumbnail]) -> File:
    return File.model_validate({**{name: getattr(file, name) for name in _COLUMNS}, "thumbnails": thumbnails})


_COLUMNS = tuple(name for name in File.model_fields if name != "thumbnails")
