"""Answers with kept files."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from fluxprint_camera.disk import LOOK_S, Disk, FilePieces
from fluxprint_camera.recording.problems import FilesAway
from fluxprint_camera.viewers.grants import Grants
from fluxprint_camera.viewers.places import Places
from fluxprint_camera.viewers.transport import give_up, transport_of
from fluxprint_camera.viewers.unread import in_time
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.logs import get_logger
from fluxprint_common.problems import NotFound

log = get_logger(__name__)

#: A piece that is not taken for so long is taken by nobody.
STUCK_S = 30.0


class KeptFile(FileResponse):
    """A file with ranges (RFC 9110) that is cut off where somebody may no longer see it, takes nothing of it, or the
    disk does not give it.

    Raises:
        NotFound, TooManyViewers, FilesAway: when called, before anything is sent.
    """

    def __init__(self, request: Request, path: Path, watcher: Watcher, **answer: Any) -> None:
        super().__init__(path, **answer)
        self._file = path
        self._watcher = watcher
        self._grants: Grants = request.app.state.grants
        self._places: Places = request.app.state.downloads
        self._disk: Disk = request.app.state.disk_of_downloads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut = transport_of(scope).abort

        async def answer(send: Send) -> None:
            await super(KeptFile, self).__call__(scope, receive, send)

        with self._places.take(self._watcher), self._grants.watching(self._watcher, None, cut):
            self.stat_result = found = await self._look()
            self.set_stat_headers(found)
            self._pieces = FilePieces(self._disk, self._file, found)
            try:
                await in_time(scope, send, answer, stuck_after_s=STUCK_S)
            except OSError as error:
                log.warning("file_not_read", file=self._file.name, reason=repr(error))
                give_up(scope)

    async def _look(self) -> os.stat_result:
        try:
            return await self._disk.do(self._file.stat, within_s=LOOK_S)
        except FileNotFoundError:
            raise NotFound("The file of this recording is not here.") from None
        except OSError as error:
            raise FilesAway from error

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[Any]:
        """Of the framework, whose own takes threads that everything shares, and waits for them without end."""
        yield self._pieces
