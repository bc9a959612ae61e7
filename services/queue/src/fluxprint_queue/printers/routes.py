"""HTTP of printers."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Request, Response

from fluxprint_common.database import Reading, Session
from fluxprint_common.ids import PrinterId, show
from fluxprint_common.openapi import problems
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, credentials_of, require
from fluxprint_common.ratelimit import limit_by_subject
from fluxprint_queue.attempts import resolution
from fluxprint_queue.bridge.handover import freeing
from fluxprint_queue.printers import repository, service
from fluxprint_queue.printers.bridges import BridgeDirectory
from fluxprint_queue.printers.models import Printer as PrinterRow
from fluxprint_queue.printers.schemas import Bed, BedCleared, Hold, Printer, PrinterCreate, PrinterUpdate
from fluxprint_queue.telemetry.hub import TelemetryHub

router = APIRouter(prefix="/printers", tags=["printers"])

Reader = Annotated[Principal, require(Permission.PRINTERS_READ)]
Operator = Annotated[Principal, require(Permission.PRINTERS_OPERATE)]
Manager = Annotated[Principal, require(Permission.PRINTERS_MANAGE)]

CHANGES = limit_by_subject("printers", "limit_printers")

_ETAG: dict[int | str, dict[str, Any]] = {
    200: {"headers": {"ETag": {"description": "For If-Match.", "schema": {"type": "string", "maxLength": 60}}}}
}


@router.post(
    "",
    summary="Add a printer",
    status_code=201,
    response_model=Printer,
    responses=problems(401, 403, 409),
    dependencies=[CHANGES],
)
async def create_printer(
    request: Request, response: Response, session: Session, principal: Manager, body: PrinterCreate
) -> Printer:
    """Add a printer behind a bridge."""
    service.check_may_add(principal)
    directory: BridgeDirectory = request.app.state.bridge_directory
    await directory.check(body.bridge_id, credentials_of(request))
    printer = await service.create(session, principal, body)
    response.headers["Location"] = f"/api/v1/printers/{show('printer', printer.id)}"
    return await _shown(request, session, printer)


@router.get("", summary="List printers", response_model=Page[Printer], responses=problems(401, 403))
async def list_printers(request: Request, session: Reading, principal: Reader, paging: Paging) -> Page[Printer]:
    """The organisation's printers with their newest state."""
    rows = await repository.list_page(session, principal, before=paging.after_id, limit=paging.limit + 1)
    held = await resolution.holds(session, request.app.state.settings, rows)
    return page(rows, paging, id_of=lambda row: row.id, show=lambda row: _with_hold(request, row, held.get(row.id)))


@router.get("/{printer_id}", summary="Get a printer", response_model=Printer, responses=problems(401, 403, 404) | _ETAG)
async def get_printer(
    request: Request, response: Response, session: Reading, principal: Reader, printer_id: PrinterId
) -> Printer:
    """One printer with its newest state."""
    printer = await service.get(session, principal, printer_id)
    response.headers["ETag"] = service.etag(printer)
    return await _shown(request, session, printer)


@router.patch(
    "/{printer_id}",
    summary="Change a printer",
    response_model=Printer,
    responses=problems(401, 403, 404, 409, 412, 428) | _ETAG,
    dependencies=[CHANGES],
)
async def update_printer(
    request: Request,
    response: Response,
    session: Session,
    principal: Manager,
    printer_id: PrinterId,
    body: Annotated[PrinterUpdate, Body(media_type="application/merge-patch+json")],
    if_match: Annotated[str | None, Header(max_length=60, description="The ETag that you read.")] = None,
) -> Printer:
    """Rename a printer, move it to another bridge, or take it out of service."""
    if body.bridge_id is not None:
        directory: BridgeDirectory = request.app.state.bridge_directory
        await directory.check(body.bridge_id, credentials_of(request))
    printer = await service.change(session, principal, printer_id, body, if_match=if_match)
    response.headers["ETag"] = service.etag(printer)
    return await _shown(request, session, printer)


@router.delete(
    "/{printer_id}",
    summary="Remove a printer",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404, 409),
)
async def delete_printer(session: Session, principal: Manager, printer_id: PrinterId) -> Response:
    """Remove a printer that prints nothing and that no job waits for."""
    await service.remove(session, principal, printer_id)
    return Response(status_code=204)


@router.post(
    "/{printer_id}/bed-cleared",
    summary="Confirm a clear bed",
    response_model=Printer,
    responses=problems(401, 403, 404, 409),
)
async def confirm_bed_cleared(
    request: Request, principal: Operator, printer_id: PrinterId, body: BedCleared
) -> Printer:
    """Confirm that the part is off and the bed is clear: the next print may start."""
    printer = await freeing(
        request.app.state, printer_id, lambda session: service.bed_cleared(session, principal, printer_id, body)
    )
    return _with_hold(request, printer, None)  # what holds a printer refuses the confirmation


async def _shown(request: Request, session: Session, row: PrinterRow) -> Printer:
    held = await resolution.holds(session, request.app.state.settings, [row])
    return _with_hold(request, row, held.get(row.id))


def _with_hold(request: Request, row: PrinterRow, held: Hold | None) -> Printer:
    hub: TelemetryHub = request.app.state.telemetry
    return Printer.model_validate(
        {
            **{name: getattr(row, name) for name in _COLUMNS},
            "bed": Bed(state=row.bed_state, attempt_id=row.bed_attempt_id, changed_at=row.bed_changed_at),
            "held": held,
            "telemetry": hub.newest(row.id) or row.telemetry,
        }
    )


_COLUMNS = tuple(name for name in Printer.model_fields if name not in {"bed", "held", "telemetry"})
