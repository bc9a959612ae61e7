"""The queue service in memory, behind real HTTP and WebSockets: as docs/protocol.md says, for one bridge.

It refuses what the real one refuses, so a bridge that breaks the protocol does not get through a test.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, StreamingResponse

from fluxprint_common.ids import new_id, show
from fluxprint_queue.attempts.states import LIVE, REPORTED_STATE, TRANSITIONS, AttemptState, ReportKind
from support.serving import serving

BRIDGE_TOKEN = "fxb_test0000000000000000000000000000"


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        self.status = status
        self.code = code


@dataclass
class Attempt:
    id: str
    printer_id: str
    content: bytes
    sent: bytes | None = None  #: other bytes than announced
    cut_at: int | None = None  #: where the first download breaks off
    extension: str = "gcode"
    state: str = "queued"
    fence: int = 0
    journal_id: str | None = None
    lease_ends_at: float = 0.0
    reason: str | None = None
    detail: str | None = None
    evidence: dict[str, object] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)
    report_ids: set[str] = field(default_factory=set)
    job_cancelled: bool = False
    priority: int = 50

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def file(self) -> dict[str, object]:
        """As an assignment describes it."""
        size = len(self.content)
        return {"sha256": self.sha256, "size_bytes": size, "name": "x.gcode", "extension": self.extension}

    @property
    def path(self) -> str:
        month = time.strftime("%Y-%m", time.gmtime((int(self.id.rpartition("_")[2], 16) >> 80) / 1000))
        return f"fluxprint/{month}/{self.id}.{self.extension}"

    @property
    def live(self) -> bool:
        return self.state in LIVE

    def move(self, to: str) -> None:
        if not self.live or to not in TRANSITIONS[AttemptState(self.state)]:
            raise Refusal(409, "transition_refused" if self.live else "attempt_ended")
        self.state = to


@dataclass
class Command:
    id: str
    attempt_id: str
    kind: str
    state: str = "pending"
    detail: str | None = None


class FakeCloud:
    """One organisation and one bridge, with one printer or more; what names no printer means the first."""

    def __init__(self, *, printers: int = 1) -> None:
        self.printer_ids = [show("printer", new_id()) for _ in range(printers)]
        self.printer_id = self.printer_ids[0]
        self.bridge_id = show("bridge", new_id())
        self.url = ""
        self.attempts: dict[str, Attempt] = {}
        self.used_ids: set[str] = set()
        self.telemetry: list[dict[str, object]] = []
        self.links: list[WebSocket] = []
        self.uplinks: list[WebSocket] = []
        self.changed = asyncio.Condition()
        self._fences = itertools.count(1)
        self.reset()

    def reset(self) -> None:
        """As it was at first, but for its identity and its connections."""
        self.lease_s = 30.0
        self.permit_valid_s = 10.0
        self.beds = dict.fromkeys(self.printer_ids, "clear")
        self.enabled = True
        self.takes_evidence = True
        for attempt in self.attempts.values():
            attempt.state = "failed" if attempt.live or attempt.state == "queued" else attempt.state
        self.commands: list[Command] = []
        self.calls: list[str] = []
        self.foreign_prints: list[str] = []
        self.frames: list[tuple[dict[str, object], bytes]] = []
        self.wanted_fps = 0.0
        self.stall_at: asyncio.Event | None = None  #: waited for in the middle of each download that begins
        self.stalled = False
        #: Awaited after a call took effect and before it is answered, by the call's name.
        self.before_answer: dict[str, Callable[[], Awaitable[object]]] = {}

    @property
    def now(self) -> dict[str, object]:
        """The newest telemetry, or nothing."""
        return self.telemetry[-1] if self.telemetry else {}

    # -- what people do ----------------------------------------------------------------------------------------------

    async def add_job(
        self,
        content: bytes,
        *,
        printer_id: str | None = None,
        sent: bytes | None = None,
        cut_at: int | None = None,
        priority: int = 50,
    ) -> Attempt:
        """Queue something to print and ring the doorbell."""
        printer_id = printer_id or self.printer_id
        attempt_id = show("attempt", new_id())
        attempt = Attempt(attempt_id, printer_id, content, sent=sent, cut_at=cut_at, priority=priority)
        self.attempts[attempt.id] = attempt
        await self.ring("work", printer_id)
        return attempt

    async def clear_bed(self) -> None:
        self.beds[self.printer_id] = "clear"
        await self.ring("work")

    async def command(self, attempt: Attempt, kind: str, *, ring: bool = True) -> Command:
        command = Command(show("command", new_id()), attempt.id, kind)
        self.commands.append(command)
        if ring:
            await self.ring("command")
        return command

    async def ring(self, reason: str, printer_id: str | None = None) -> None:
        message = {"type": "doorbell", "printer_id": printer_id or self.printer_id, "reason": reason}
        for link in self.links:
            await link.send_text(json.dumps(message))

    async def want(self, fps: float) -> None:
        self.wanted_fps = fps
        for uplink in self.uplinks:
            await uplink.send_text(json.dumps({"type": "want", "fps": fps, "idle_interval_s": 60}))

    async def until(self, condition: Callable[[], object], *, timeout_s: float = 40) -> None:
        """Wait until something that the bridge told us is true."""
        async with asyncio.timeout(timeout_s), self.changed:
            await self.changed.wait_for(lambda: bool(condition()))

    async def until_state(self, attempt: Attempt, *states: str, timeout_s: float = 40) -> None:
        try:
            await self.until(lambda: attempt.state in states, timeout_s=timeout_s)
        except TimeoutError:
            raise AssertionError(
                f"{attempt.state} ({attempt.reason}: {attempt.detail}), not {states}; calls: {self.calls[-20:]}"
            ) from None

    def take_over(self, attempt: Attempt) -> None:
        """Another process with the same token claims: it gets the newest fence."""
        attempt.fence = next(self._fences)

    # -- what the bridge does ------------------------------------------------------------------------------------------

    async def note(self, call: str) -> None:
        self.calls.append(call)
        hook = self.before_answer.get(call.partition("@")[0])
        if hook is not None:
            await hook()
        async with self.changed:
            self.changed.notify_all()

    def of(self, printer_id: str | None) -> list[Attempt]:
        return [a for a in self.attempts.values() if a.printer_id == (printer_id or self.printer_id)]

    def live(self, printer_id: str | None = None) -> Attempt | None:
        return next((attempt for attempt in self.of(printer_id) if attempt.live), None)

    def held(self, attempt_id: str, fence: int) -> Attempt:
        attempt = self.attempts.get(attempt_id)
        if attempt is None:
            raise Refusal(404, "attempt_not_found")
        if attempt.fence != fence:
            raise Refusal(409, "fence_stale")
        if not attempt.live:
            raise Refusal(409, "attempt_ended")
        return attempt

    def next(self, printer_id: str) -> Attempt | None:
        """What a claim takes if the printer is free."""
        waiting = (a for a in self.of(printer_id) if a.state == "queued") if self.enabled else iter(())
        return min(waiting, key=lambda attempt: -attempt.priority, default=None)

    def claim(self, printer_id: str, journal_id: str, staged: dict[str, str] | None = None) -> Attempt | None:
        attempt = self.live(printer_id)
        if attempt is None and self.beds[printer_id] == "clear":
            attempt = self.next(printer_id)
            if attempt is not None:
                assert attempt.journal_id is None
                if (
                    staged is not None
                    and staged["sha256"] == attempt.sha256
                    and staged["attempt_id"] not in self.used_ids
                ):
                    self._rename(attempt, staged["attempt_id"])
                attempt.state, attempt.journal_id = "claimed", journal_id
                self.used_ids.add(attempt.id)
        if attempt is not None:
            attempt.fence = next(self._fences)
            attempt.lease_ends_at = time.monotonic() + self.lease_s
        return attempt

    def _rename(self, attempt: Attempt, attempt_id: str) -> None:
        if attempt_id in self.used_ids:
            return
        del self.attempts[attempt.id]
        attempt.id = attempt_id
        self.attempts[attempt_id] = attempt

    def permit(self, attempt: Attempt, journal_id: str) -> None:
        if attempt.state not in {"claimed", "starting"}:
            raise Refusal(409, "transition_refused")
        if attempt.journal_id != journal_id:
            raise Refusal(409, "journal_mismatch")
        if attempt.job_cancelled:
            raise Refusal(409, "job_cancelled")
        if not self.enabled:
            raise Refusal(409, "printing_disabled")
        if attempt.state == "starting":
            return
        if time.monotonic() > attempt.lease_ends_at:
            raise Refusal(409, "lease_expired")
        if self.beds[attempt.printer_id] != "clear":
            raise Refusal(409, "bed_occupied")
        attempt.move("starting")
        self.beds[attempt.printer_id] = "occupied"

    def report(self, attempt: Attempt | None, body: dict[str, object]) -> None:
        if attempt is None:
            raise Refusal(404, "attempt_not_found")
        if body.get("evidence") and not self.takes_evidence:
            raise Refusal(422, "validation_failed")
        kind = str(body["kind"])
        if body["report_id"] in attempt.report_ids:
            return
        target = str(REPORTED_STATE[ReportKind(kind)])
        if attempt.state != target:
            self.held(attempt.id, int(str(body["fence"])))
            attempt.move(target)
        attempt.report_ids.add(str(body["report_id"]))
        attempt.reports.append(kind)
        attempt.reason, attempt.detail = body.get("reason"), body.get("detail")  # type: ignore[assignment]
        attempt.evidence = dict(body.get("evidence") or {})  # type: ignore[call-overload]


def application(cloud: FakeCloud) -> FastAPI:
    app = FastAPI()
    app.include_router(_calls(cloud))
    app.include_router(_sockets(cloud))

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> JSONResponse:
        return JSONResponse({"code": refusal.code, "detail": ""}, refusal.status, media_type="application/problem+json")

    return app


def _calls(cloud: FakeCloud) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.post("/auth/bridge-token")
    async def token(body: dict[str, str]) -> dict[str, object]:
        if body["bridge_token"] != BRIDGE_TOKEN:
            raise Refusal(401, "bridge_token_invalid")
        claims = base64.urlsafe_b64encode(json.dumps({"sub": cloud.bridge_id}).encode()).decode().rstrip("=")
        return {"access_token": f"x.{claims}.y", "token_type": "Bearer", "expires_in_s": 900}

    @router.get("/bridge/printers")
    async def printers() -> dict[str, object]:
        return {"items": [{"id": id, "name": "Test printer", "enabled": True} for id in cloud.printer_ids]}

    @router.post("/bridge/printers/{printer_id}/claim")
    async def claim(printer_id: str, body: dict[str, Any]) -> Response:
        adopted = cloud.live(printer_id) if body["adopt_only"] else True
        attempt = cloud.claim(printer_id, body["journal_id"], body.get("staged")) if adopted else None
        await cloud.note("claim")
        if attempt is None:
            return Response(status_code=204)
        given = {
            "id": attempt.id,
            "state": attempt.state,
            "fence": attempt.fence,
            "lease_expires_in_s": attempt.lease_ends_at - time.monotonic(),
            "same_journal": attempt.journal_id == body["journal_id"],
            "job_id": show("job", new_id()),
            "copy_number": 1,
        }
        return JSONResponse({"attempt": given, "file": attempt.file})

    @router.get("/bridge/printers/{printer_id}/next")
    async def next_file(printer_id: str) -> Response:
        attempt = cloud.next(printer_id)
        await cloud.note("next")
        if attempt is None:
            return Response(status_code=204)
        return JSONResponse({"attempt_id": show("attempt", new_id()), "file": attempt.file})

    @router.get("/bridge/printers/{printer_id}/files/{sha256}")
    async def file_ahead(printer_id: str, sha256: str, request: Request) -> Response:
        waiting = [a for a in cloud.of(printer_id) if a.state == "queued" and a.sha256 == sha256]
        if not waiting:
            raise Refusal(404, "file_not_found")
        return await content_of(waiting[0], request, "ahead")

    @router.get("/bridge/attempts/{attempt_id}/file")
    async def file(attempt_id: str, request: Request) -> Response:
        return await content_of(cloud.attempts[attempt_id], request, "file")

    async def content_of(attempt: Attempt, request: Request, call: str) -> Response:
        start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        await cloud.note(f"{call}@{start}")
        content = (attempt.sent or attempt.content)[start:]
        cut, attempt.cut_at = attempt.cut_at, None
        stall = cloud.stall_at

        async def stream() -> AsyncIterator[bytes]:
            if stall is None:
                yield content[:cut]
                return
            yield content[: len(content) * 2 // 3]
            cloud.stalled = True
            await cloud.note("stalled")
            await stall.wait()

        headers = {"Content-Length": str(len(content))}
        return StreamingResponse(stream(), 206 if start else 200, headers, media_type="text/x-gcode")

    @router.post("/bridge/attempts/{attempt_id}/lease")
    async def lease(attempt_id: str, body: dict[str, int]) -> dict[str, float]:
        attempt = cloud.held(attempt_id, body["fence"])
        attempt.lease_ends_at = time.monotonic() + cloud.lease_s
        await cloud.note("lease")
        return {"lease_expires_in_s": cloud.lease_s}

    @router.post("/bridge/attempts/{attempt_id}/permit")
    async def permit(attempt_id: str, body: dict[str, object]) -> dict[str, object]:
        attempt = cloud.held(attempt_id, int(str(body["fence"])))
        cloud.permit(attempt, str(body["journal_id"]))
        await cloud.note("permit")
        return {"attempt_id": attempt_id, "fence": attempt.fence, "permit_valid_s": cloud.permit_valid_s}

    @router.post("/bridge/attempts/{attempt_id}/reports")
    async def report(attempt_id: str, body: dict[str, object]) -> dict[str, object]:
        attempt = cloud.attempts.get(attempt_id)
        cloud.report(attempt, body)
        await cloud.note(f"report:{body['kind']}")
        assert attempt is not None
        return {"id": attempt.id, "state": attempt.state, "fence": attempt.fence}

    @router.post("/bridge/printers/{printer_id}/foreign-print", status_code=204)
    async def foreign(printer_id: str, body: dict[str, str]) -> None:
        cloud.foreign_prints.append(body["file_name"])
        cloud.beds[printer_id] = "occupied"
        await cloud.note("foreign")

    @router.get("/bridge/printers/{printer_id}/commands")
    async def commands(printer_id: str) -> dict[str, object]:
        of_printer = {attempt.id for attempt in cloud.of(printer_id)}
        pending = [c for c in cloud.commands if c.state == "pending" and c.attempt_id in of_printer]
        items = [{"id": c.id, "attempt_id": c.attempt_id, "kind": c.kind, "expires_in_s": 30} for c in pending]
        await cloud.note("commands")
        return {"items": items}

    @router.post("/bridge/commands/{command_id}/result", status_code=204)
    async def result(command_id: str, body: dict[str, str | None]) -> None:
        command = next(command for command in cloud.commands if command.id == command_id)
        command.state, command.detail = str(body["state"]), body["detail"]
        await cloud.note(f"result:{command.kind}")

    return router


def _sockets(cloud: FakeCloud) -> APIRouter:
    router = APIRouter(prefix="/api/v1")

    @router.websocket("/bridge/link")
    async def link(socket: WebSocket) -> None:
        assert socket.headers["authorization"].startswith("Bearer x.")
        await socket.accept(subprotocol="fluxprint.bridge.v1")
        await socket.send_text(json.dumps({"type": "hello", "bridge_id": cloud.bridge_id, "ping_s": 20}))
        cloud.links.append(socket)
        await cloud.note("link")
        try:
            while True:
                message = json.loads(await socket.receive_text())
                assert message["printer_id"] in cloud.printer_ids
                if message["printer_id"] == cloud.printer_id:
                    cloud.telemetry.append(message["data"])
                await cloud.note("telemetry")
        except WebSocketDisconnect:
            pass
        finally:
            cloud.links.remove(socket)

    @router.websocket("/cameras/ingest")
    async def ingest(socket: WebSocket, printer_id: str) -> None:
        assert printer_id in cloud.printer_ids
        await socket.accept(subprotocol="fluxprint.camera.v1")
        await socket.send_text(json.dumps({"type": "hello", "camera_id": show("camera", new_id())}))
        cloud.uplinks.append(socket)
        await cloud.want(cloud.wanted_fps)
        try:
            while True:
                header = json.loads(await socket.receive_text())
                picture = await socket.receive_bytes()
                cloud.frames.append((header, picture))
                await cloud.note("frame")
                await socket.send_text(json.dumps({"type": "ack", "sequence": header["sequence"]}))
        except WebSocketDisconnect:
            pass
        finally:
            cloud.uplinks.remove(socket)

    return router


@asynccontextmanager
async def running_cloud(cloud: FakeCloud) -> AsyncIterator[FakeCloud]:
    async with serving(application(cloud), lifespan=False) as url:
        cloud.url = url
        yield cloud
