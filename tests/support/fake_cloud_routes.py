"""What bridges reach of a `FakeCloud`: its calls, its link, its cameras' uplinks."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, StreamingResponse

from fluxprint_common.ids import new_id, show
from support.fake_cloud import BRIDGE_TOKEN, Attempt, FakeCloud, Refusal
from support.serving import serving


@asynccontextmanager
async def running_cloud(cloud: FakeCloud) -> AsyncIterator[FakeCloud]:
    async with serving(application(cloud), lifespan=False) as url:
        cloud.url = url
        yield cloud


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
    async def claim(printer_id: str, body: dict[str, Any], request: Request) -> Response:
        if not cloud.knows_grants and body.keys() & {"ready", "wait_s"}:
            await cloud.note("claim:refused")
            raise Refusal(422, "validation_failed")
        adopted = cloud.live(printer_id) if body["adopt_only"] else True
        cloud.asked_for_work += not body["adopt_only"]
        attempt = cloud.claim(printer_id, body["journal_id"], body.get("staged")) if adopted else None
        if attempt is None and cloud.grants and body.get("wait_s"):
            attempt = await claim_later(printer_id, body, request)
        granted = False
        if attempt is not None and attempt.state == "claimed" and cloud.grants and body.get("ready"):
            granted = attempt.id == body["staged"]["attempt_id"]
            if granted:
                cloud.permit(attempt, body["journal_id"])
                await cloud.note("granted")
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
        permit_valid_s = cloud.permit_valid_s if granted else None
        return JSONResponse({"attempt": given, "file": attempt.file, "permit_valid_s": permit_valid_s})

    async def claim_later(printer_id: str, body: dict[str, Any], request: Request) -> Attempt | None:
        cloud.rung.clear()
        await cloud.note("waits:ready" if body.get("ready") else "waits")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cloud.rung.wait(), min(body["wait_s"], cloud.permit_valid_s / 3))
        if await request.is_disconnected():
            return None
        return cloud.claim(printer_id, body["journal_id"], body.get("staged"))

    @router.get("/bridge/printers/{printer_id}/next")
    async def next_file(printer_id: str) -> Response:
        attempt = cloud.ahead(printer_id)
        await cloud.note("next")
        if attempt is None:
            return Response(status_code=204)
        return JSONResponse({"attempt_id": show("attempt", new_id()), "file": attempt.file})

    @router.get("/bridge/printers/{printer_id}/files/{sha256}")
    async def file_ahead(printer_id: str, sha256: str, request: Request) -> Response:
        ahead = [*cloud.of(printer_id), *([cloud.uploaded] if cloud.uploaded is not None else [])]
        waiting = [a for a in ahead if a.state == "queued" and a.sha256 == sha256]
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
        cloud.foreign_print(printer_id, body["file_name"])
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
    async def ingest(socket: WebSocket) -> None:
        await socket.accept(subprotocol="fluxprint.camera.v2")
        cloud.uplinks.append(socket)
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if (text := message.get("text")) is not None:
                    await cloud.take_camera_message(socket, json.loads(text))
                else:
                    await cloud.take_frame(socket, message["bytes"])
        finally:
            cloud.uplinks.remove(socket)

    return router
