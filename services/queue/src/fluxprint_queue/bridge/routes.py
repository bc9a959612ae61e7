"""HTTP of bridges: the calls of docs/protocol.md. A bridge sees its own printers and attempts, and nothing else."""

import asyncio
import time
from contextlib import nullcontext
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import IntegrityError

from fluxprint_common.database import Database, Reading, ReadSession, Session
from fluxprint_common.ids import PrinterId, new_id
from fluxprint_common.openapi import binary, problems
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import Unauthenticated
from fluxprint_common.ratelimit import limit_by_subject
from fluxprint_common.revocations import Revocations
from fluxprint_queue.attempts import repository as attempts
from fluxprint_queue.attempts import service as attempt_rules
from fluxprint_queue.attempts.errors import AttemptNotFound
from fluxprint_queue.attempts.repository import Staged
from fluxprint_queue.attempts.service import Claimed, Report
from fluxprint_queue.bridge import repository as doorbells
from fluxprint_queue.bridge import uploads
from fluxprint_queue.bridge.repository import Waiting
from fluxprint_queue.bridge.schemas import (
    AssignedAttempt,
    AssignedFile,
    Assignment,
    AttemptReport,
    BridgeCommand,
    BridgeCommandList,
    BridgePrinter,
    BridgePrinterList,
    Claim,
    CommandResult,
    ForeignPrint,
    Lease,
    LeaseRenewal,
    NextFile,
    Permit,
    PermitRequest,
    ReportedAttempt,
)
from fluxprint_queue.bridge.waiters import Offer, Waiter, Waiters
from fluxprint_queue.commands import repository as commands
from fluxprint_queue.commands import service as command_rules
from fluxprint_queue.commands.states import CommandState
from fluxprint_queue.files.models import File
from fluxprint_queue.files.routes import content_response
from fluxprint_queue.files.schemas import Sha256
from fluxprint_queue.files.service import FileNotFound
from fluxprint_queue.ids import AttemptId, CommandId
from fluxprint_queue.printers import repository as printers
from fluxprint_queue.printers import service as printer_rules
from fluxprint_queue.settings import QueueSettings

router = APIRouter(prefix="/bridge", tags=["bridge"])

Bridge = Annotated[Principal, require(Permission.BRIDGE_WORK)]


def _limit(kind: str) -> Any:
    """Each kind counts for itself: many reports must not cost a lease."""
    return limit_by_subject(f"bridge_{kind}", "limit_bridge_writes")


@router.get(
    "/printers", summary="List the bridge's printers", response_model=BridgePrinterList, responses=problems(401, 403)
)
async def list_bridge_printers(session: Reading, principal: Bridge) -> BridgePrinterList:
    """The printers that this bridge is to reach."""
    found = await printers.list_of_bridge(session, principal)
    return BridgePrinterList(items=[BridgePrinter.model_validate(printer) for printer in found])


@router.post(
    "/printers/{printer_id}/claim",
    summary="Claim work",
    response_model=Assignment,
    responses=problems(401, 403, 404, 409) | {204: {"description": "Nothing to do."}},
)
async def claim_work(request: Request, principal: Bridge, printer_id: PrinterId, body: Claim) -> Assignment | Response:
    """Take the best job for an idle printer, or take over the attempt that the printer has already.

    With `wait_s` the answer comes as soon as there is one.
    """
    waiters: Waiters = request.app.state.waiters
    with waiters.waiting(principal, printer_id, _offer(principal, body)) if body.wait_s else nullcontext() as waiter:
        claimed = None
        waiting = await _waiting(request, principal, printer_id)  # whatever comes after this rings the waiter
        if waiting.attempt or (waiting.job and waiting.free):
            claimed = await _claim(request, principal, printer_id, body)
        if claimed is None and waiter is not None:
            waiter.free = waiting.free
            claimed = await _claim_when_rung(request, principal, printer_id, body, waiter)
    if claimed is None:
        return Response(status_code=204)
    settings: QueueSettings = request.app.state.settings
    return _assignment(claimed, body, settings.permit_valid_s if claimed.permitted else None)


@router.get(
    "/printers/{printer_id}/next",
    summary="Look at the next file",
    response_model=NextFile,
    responses=problems(401, 403, 404) | {204: {"description": "There is nothing to bring to this printer."}},
)
async def get_next_file(
    request: Request, session: Reading, principal: Bridge, printer_id: PrinterId
) -> NextFile | Response:
    """What the printer would claim if it were free, so that its file can be brought there ahead of time.

    Where nothing waits, a free printer is told of what was just uploaded.
    """
    waiting = await _waiting(request, principal, printer_id)
    file = await _next_file(request, session, principal, printer_id, waiting)
    if file is None:
        return Response(status_code=204)
    return NextFile(attempt_id=new_id(), file=AssignedFile.model_validate(file))


@router.get(
    "/printers/{printer_id}/files/{sha256}",
    summary="Download a file ahead of time",
    response_class=Response,
    responses=problems(401, 403, 404, 416)
    | {200: binary("text/x-gcode", "The file.", ETag="Its SHA-256."), 206: binary("text/x-gcode", "A range.")},
)
async def download_next_file(
    request: Request, session: Reading, principal: Bridge, printer_id: PrinterId, sha256: Sha256
) -> Response:
    """The file of a job that waits and that the printer may take, or that `next` tells of, with ranges."""
    waiting = await _waiting(request, principal, printer_id)
    file = await _next_file(request, session, principal, printer_id, waiting, sha256=sha256)
    if file is None:
        raise FileNotFound
    return content_response(request.app.state.storage, file)


@router.get(
    "/attempts/{attempt_id}/file",
    summary="Download an attempt's file",
    response_class=Response,
    responses=problems(401, 403, 404, 416)
    | {200: binary("text/x-gcode", "The file.", ETag="Its SHA-256."), 206: binary("text/x-gcode", "A range.")},
)
async def download_attempt_file(
    request: Request, session: Reading, principal: Bridge, attempt_id: AttemptId
) -> Response:
    """The file that an attempt prints, with ranges."""
    held = await attempts.held(session, principal, attempt_id)
    if held is None:
        raise AttemptNotFound
    return content_response(request.app.state.storage, held.file)


@router.post(
    "/attempts/{attempt_id}/lease",
    summary="Renew a lease",
    response_model=Lease,
    responses=problems(401, 403, 404, 409),
    dependencies=[_limit("leases")],
)
async def renew_lease(
    request: Request, session: Session, principal: Bridge, attempt_id: AttemptId, body: LeaseRenewal
) -> Lease:
    """Keep an attempt while its file is transferred."""
    lease_s = await attempt_rules.renew_lease(session, request.app.state.settings, principal, attempt_id, body.fence)
    return Lease(lease_expires_in_s=lease_s)


@router.post(
    "/attempts/{attempt_id}/permit",
    summary="Ask to start",
    response_model=Permit,
    responses=problems(401, 403, 404, 409),
)
async def request_permit(
    request: Request, session: Session, principal: Bridge, attempt_id: AttemptId, body: PermitRequest
) -> Permit:
    """Ask to press start. Only this answer, once it has arrived, allows it."""
    settings: QueueSettings = request.app.state.settings
    attempt = await attempt_rules.permit(
        session, settings, principal, attempt_id, fence=body.fence, journal_id=body.journal_id
    )
    return Permit(attempt_id=attempt.id, fence=attempt.fence, permit_valid_s=settings.permit_valid_s)


@router.post(
    "/attempts/{attempt_id}/reports",
    summary="Report on an attempt",
    response_model=ReportedAttempt,
    responses=problems(401, 403, 404, 409),
    dependencies=[_limit("reports")],
)
async def report_attempt(
    request: Request, session: Session, principal: Bridge, attempt_id: AttemptId, body: AttemptReport
) -> ReportedAttempt:
    """Tell what happened at the printer; repeating a report changes nothing."""
    attempt = await attempt_rules.report(
        session, request.app.state.settings, principal, attempt_id, Report(**body.model_dump())
    )
    return ReportedAttempt.model_validate(attempt)


@router.post(
    "/printers/{printer_id}/foreign-print",
    summary="Report a foreign print",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404),
    dependencies=[_limit("foreign_prints")],
)
async def report_foreign_print(
    session: Session, principal: Bridge, printer_id: PrinterId, body: ForeignPrint
) -> Response:
    """Tell that the printer prints something that is not ours: its bed is occupied."""
    await printer_rules.foreign_print(session, principal, printer_id, body.file_name)
    return Response(status_code=204)


@router.get(
    "/printers/{printer_id}/commands",
    summary="List the orders that wait",
    response_model=BridgeCommandList,
    responses=problems(401, 403, 404),
)
async def list_pending_commands(
    request: Request, session: Reading, principal: Bridge, printer_id: PrinterId
) -> BridgeCommandList:
    """The orders that wait for a printer, oldest first."""
    if not (await _waiting(request, principal, printer_id)).command:
        return BridgeCommandList(items=[])
    waiting = await commands.pending_of_printer(session, principal, printer_id)
    return BridgeCommandList(
        items=[
            BridgeCommand(id=command.id, attempt_id=command.attempt_id, kind=command.kind, expires_in_s=max(0, left_s))
            for command, left_s in waiting
        ]
    )


@router.post(
    "/commands/{command_id}/result",
    summary="Report on an order",
    status_code=204,
    response_class=Response,
    responses=problems(401, 403, 404),
    dependencies=[_limit("results")],
)
async def report_command(session: Session, principal: Bridge, command_id: CommandId, body: CommandResult) -> Response:
    """Tell what became of an order; repeating it changes nothing."""
    await command_rules.finish(session, principal, command_id, CommandState(body.state), body.detail)
    return Response(status_code=204)


async def _claim(
    request: Request, principal: Principal, printer_id: UUID, body: Claim, *, take_over: bool = True
) -> Claimed | None:
    settings: QueueSettings = request.app.state.settings
    database: Database = request.app.state.database
    staged = _staged(body)

    async def claim() -> Claimed | None:
        async with database.unit_of_work() as session:
            if body.adopt_only:
                return await attempt_rules.adopt(session, settings, principal, printer_id)
            return await attempt_rules.claim(
                session, settings, principal, printer_id,
                journal_id=body.journal_id, staged=staged, ready=body.ready, take_over=take_over,
            )  # fmt: skip

    try:
        return await claim()
    except IntegrityError:
        # Two claims for one printer at once: the index let one through, and this one takes over what that one opened.
        return await claim()


def _staged(body: Claim) -> Staged | None:
    return Staged(body.staged.attempt_id, body.staged.sha256) if body.staged else None


def _offer(principal: Principal, body: Claim) -> Offer | None:
    staged = _staged(body)
    return Offer(principal, body.journal_id, staged) if staged and body.ready and not body.adopt_only else None


async def _claim_when_rung(
    request: Request, principal: Principal, printer_id: UUID, body: Claim, waiter: Waiter
) -> Claimed | None:
    """Claim each time that something happens, for `wait_s`; no database connection is held in between.

    A bridge that has gone gets nothing. One that goes while its claim is made takes over later what that opened. What
    lives by now was given to another claim, perhaps to this bridge's next one: its fence must not grow under it.
    """
    revocations: Revocations = request.app.state.revocations
    settings: QueueSettings = request.app.state.settings
    # Lease and permit count from before the request, so most of them must be left after the longest wait.
    ends_at = time.monotonic() + min(body.wait_s, settings.lease_s / 4, settings.permit_valid_s / 3)
    gone = asyncio.create_task(_gone(request, waiter))
    try:
        while (left_s := ends_at - time.monotonic()) > 0 and await waiter.rings(left_s):
            if revocations.refuse(principal.session_id, principal.issued_at):
                raise Unauthenticated
            claimed = waiter.given or await _claim(request, principal, printer_id, body, take_over=False)
            if claimed is not None:
                return claimed
        return await waiter.last()
    finally:
        gone.cancel()


async def _gone(request: Request, waiter: Waiter) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    waiter.end()


async def _waiting(request: Request, principal: Principal, printer_id: UUID) -> Waiting:
    waiting = await doorbells.waiting(request.app.state.database.polls, principal, printer_id)
    if waiting is None:
        raise printer_rules.PrinterNotFound
    return waiting


async def _next_file(
    request: Request,
    session: ReadSession,
    principal: Principal,
    printer_id: UUID,
    waiting: Waiting,
    *,
    sha256: str | None = None,
) -> File | None:
    settings: QueueSettings = request.app.state.settings
    if not settings.enabled:
        return None
    file = None
    if waiting.job:
        file = await attempts.next_file(session, principal, printer_id, rest_s=settings.fault_rest_s, sha256=sha256)
    if file is None and waiting.free and settings.stage_uploads_s:
        file = await uploads.recent_file(
            session, principal, printer_id, recent_s=settings.stage_uploads_s, sha256=sha256
        )
    return file


def _assignment(claimed: Claimed, claim: Claim, permit_valid_s: int | None) -> Assignment:
    held, attempt = claimed.held, claimed.held.attempt
    return Assignment(
        attempt=AssignedAttempt(
            id=attempt.id,
            state=attempt.state,
            fence=attempt.fence,
            lease_expires_in_s=held.lease_left_s,
            same_journal=attempt.journal_id == claim.journal_id,
            job_id=attempt.job_id,
            copy_number=attempt.copy_number,
        ),
        file=AssignedFile.model_validate(held.file),
        permit_valid_s=permit_valid_s,
    )
