"""HTTP of recordings."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request, Response

from fluxprint_camera.cameras.sight import Sight
from fluxprint_camera.ids import AttemptId, JobId, PictureId, TimelapseId
from fluxprint_camera.recording import repository, service
from fluxprint_camera.recording.files import KeptFile
from fluxprint_camera.recording.models import PictureRow, TimelapseRow
from fluxprint_camera.recording.repository import Of
from fluxprint_camera.recording.schemas import PrintPicture, Timelapse
from fluxprint_camera.recording.store import Store
from fluxprint_camera.viewers.access import sees_kept
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.database import Database, Reading, Session
from fluxprint_common.ids import PrinterId, show
from fluxprint_common.openapi import binary, problems
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import NotFound

router = APIRouter(prefix="/cameras", tags=["recordings"])

Viewer = Annotated[Principal, require(Permission.CAMERAS_VIEW)]
Watching = Annotated[Watcher, sees_kept(Permission.CAMERAS_VIEW)]
Manager = Annotated[Principal, require(Permission.PRINTERS_MANAGE)]


async def _of(
    printer_id: Annotated[PrinterId | None, Query(description="Of this printer only.")] = None,
    job_id: Annotated[JobId | None, Query(description="Of this job only.")] = None,
    attempt_id: Annotated[AttemptId | None, Query(description="Of this attempt only.")] = None,
) -> Of:
    return Of(printer_id, job_id, attempt_id)


Filter = Annotated[Of, Depends(_of)]


async def _store(request: Request) -> Store:
    """Raises: NotFound: this installation keeps no recordings."""
    store: Store | None = request.app.state.recordings
    if store is None:
        raise NotFound("This installation keeps no recordings.")
    return store


Files = Annotated[Store, Depends(_store)]


@router.get("/timelapses", summary="List timelapses", responses=problems(401, 403))
async def list_timelapses(session: Reading, principal: Viewer, of: Filter, paging: Paging) -> Page[Timelapse]:
    """What was recorded of prints, newest first."""
    rows = await repository.list_page(
        session, TimelapseRow, Sight.of(principal), of, before=paging.after_id, limit=paging.limit + 1
    )
    return page(rows, paging, id_of=lambda row: row.id, show=Timelapse.model_validate)


@router.get("/timelapses/{timelapse_id}", summary="Get a timelapse", responses=problems(401, 403, 404))
async def get_timelapse(session: Reading, principal: Viewer, timelapse_id: TimelapseId) -> Timelapse:
    """One timelapse, with the progress of its rendering."""
    return Timelapse.model_validate(await service.timelapse(session, Sight.of(principal), timelapse_id))


@router.get(
    "/timelapses/{timelapse_id}/video",
    summary="Download a timelapse",
    response_class=Response,
    responses=problems(401, 403, 404, 409, 416)
    | {
        200: binary("video/mp4", "The video: H.264, ready to play while it loads.", ETag="Of the file."),
        206: binary("video/mp4", "The bytes of a range."),
    },
)
async def download_timelapse(request: Request, watcher: Watching, store: Files, timelapse_id: TimelapseId) -> Response:
    """The video, with ranges; by a view token of its camera too, for `<video>`."""
    database: Database = request.app.state.database
    async with database.reading() as session:  # not while the disk is waited for
        row = await service.with_video(session, watcher.sight, timelapse_id)
    return KeptFile(
        request,
        store.video(row.id),
        watcher,
        media_type="video/mp4",
        filename=f"{row.started_at:%Y-%m-%d-%H%M}-{show('timelapse', row.id)}.mp4",
        content_disposition_type="inline",
        headers={"Cache-Control": "private, max-age=86400"},
    )


@router.post(
    "/timelapses/{timelapse_id}/render",
    summary="Render a timelapse again",
    status_code=202,
    responses=problems(401, 403, 404, 409),
)
async def render_timelapse(session: Session, principal: Manager, timelapse_id: TimelapseId) -> Timelapse:
    """Try once more to make the video of one that is `failed`: its frames are there as long as it is."""
    return Timelapse.model_validate(await service.render_again(session, Sight.of(principal), timelapse_id))


@router.delete(
    "/timelapses/{timelapse_id}",
    summary="Delete a timelapse",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 409),
)
async def delete_timelapse(
    request: Request, session: Session, principal: Manager, timelapse_id: TimelapseId, background: BackgroundTasks
) -> Response:
    """Delete a finished timelapse and its video."""
    await service.delete_timelapse(session, Sight.of(principal), timelapse_id)
    store: Store | None = request.app.state.recordings
    if store is not None:
        background.add_task(store.delete, [timelapse_id], [])
    return Response(status_code=204, background=background)


@router.get("/pictures", summary="List pictures of prints", responses=problems(401, 403))
async def list_pictures(session: Reading, principal: Viewer, of: Filter, paging: Paging) -> Page[PrintPicture]:
    """The pictures that were kept of prints, newest first: of starts, of ends, and of failures."""
    rows = await repository.list_page(
        session, PictureRow, Sight.of(principal), of, before=paging.after_id, limit=paging.limit + 1
    )
    return page(rows, paging, id_of=lambda row: row.id, show=_picture)


@router.get(
    "/pictures/{picture_id}/image",
    summary="Get a picture of a print",
    response_class=Response,
    responses=problems(401, 403, 404) | {200: binary("image/jpeg", "The picture.", ETag="Of the file.")},
)
async def get_picture(request: Request, watcher: Watching, store: Files, picture_id: PictureId) -> Response:
    """The picture itself, which never changes; by a view token of its camera too, for `<img>`."""
    database: Database = request.app.state.database
    async with database.reading() as session:  # not while the disk is waited for
        row = await service.picture(session, watcher.sight, picture_id)
    headers = {"Cache-Control": "private, max-age=86400, immutable"}
    return KeptFile(request, store.picture(row.id), watcher, media_type="image/jpeg", headers=headers)


def _picture(row: PictureRow) -> PrintPicture:
    columns = {name: getattr(row, name) for name in PrintPicture.model_fields if name != "image_path"}
    path = f"/api/v1/cameras/pictures/{show('picture', row.id)}/image"
    return PrintPicture.model_validate({**columns, "image_path": path})
