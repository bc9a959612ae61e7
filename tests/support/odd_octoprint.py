"""An OctoPrint that contradicts itself or tells without end: in memory, behind real HTTP and a real push socket."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from fluxprint_bridge.printer.probe import NEEDED
from support.serving import serving

PUSH_S = 0.1


class OddOctoPrint:
    """`state` is what REST says, `pushed` what the push socket says; nothing is ever selected."""

    def __init__(self) -> None:
        self.url = ""
        self.state = self.pushed = "Operational"
        self.starts_without_end = False  #: it tells of a new print twenty times a second
        self.files: set[str] = set()

    def application(self) -> FastAPI:
        app = FastAPI()
        no_job = {"job": {"file": {"path": None, "origin": None}, "user": None}, "progress": {}}

        @app.get("/api/currentuser")
        async def user() -> dict[str, object]:
            return {"name": "bridge", "permissions": [*NEEDED, "FILES_DELETE"]}

        @app.post("/api/login")
        async def login() -> dict[str, object]:
            return {"name": "bridge", "session": "any"}

        @app.get("/api/job")
        async def job() -> dict[str, object]:
            return {**no_job, "state": self.state}

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def anything_else(path: str, request: Request) -> JSONResponse:
            return JSONResponse({"error": "not found"}, 404)

        @app.websocket("/sockjs/websocket")
        async def push(socket: WebSocket) -> None:
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await socket.receive_text()
                for number in itertools.count():
                    current = {**no_job, "state": {"text": self.pushed}}
                    await socket.send_json({"history" if number == 0 else "current": current})
                    if self.starts_without_end:
                        payload = {"path": f"{number}.gcode", "origin": "local"}
                        await socket.send_json({"event": {"type": "PrintStarted", "payload": payload}})
                    await asyncio.sleep(PUSH_S)

        return app


@asynccontextmanager
async def running_odd_octoprint() -> AsyncIterator[OddOctoPrint]:
    octoprint = OddOctoPrint()
    async with serving(octoprint.application(), lifespan=False) as url:
        octoprint.url = url
        yield octoprint
