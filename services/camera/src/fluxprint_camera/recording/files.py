"""Answers with kept files."""

from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.transport import transport_of
from fluxprint_camera.viewers.unread import in_time
from fluxprint_camera.viewers.watcher import Watcher

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
        cut = transport_of(scope).abort

        async def answer(send: Send) -> None:
            await super(KeptFile, self).__call__(scope, receive, send)

        with self._places.taken_by(self._watcher), self._grants.watching(self._watcher, None, cut):
            await in_time(scope, send, answer, stuck_after_s=STUCK_S)
