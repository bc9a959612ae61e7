"""Answers with kept files."""

import asyncio
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse
from starlette.types import Message, Receive, Scope, Send

from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.transport import transport_of
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

#: A piece that is not taken for so long is taken by nobody.
STUCK_S = 30.0


class KeptFile(FileResponse):
    """A file with ranges (RFC 9110) that is cut off where somebody may no longer see it, or takes nothing of it.

    Raises:
        TooManyViewers: when called, before anything is sent.
    """

    def __init__(self, request: Request, path: Path, watcher: Watcher, **answer: Any) -> None:
        super().__init__(path, **answer)
        self._watcher = watcher
        self._grants: Grants = request.app.state.grants
        self._places: Places = request.app.state.downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = transport_of(scope)

        async def send_in_time(message: Message) -> None:
            async with asyncio.timeout(STUCK_S):
                await send(message)

        with self._places.taken_by(self._watcher), self._grants.watching(self._watcher, None, transport.abort):
            try:
                await super().__call__(scope, receive, send_in_time)
            except TimeoutError:
                log.info("download_stuck")
                transport.abort()
                while (await receive())["type"] != "http.disconnect":
                    pass
