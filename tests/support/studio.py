"""A camera service in this process that records: a queue that says what prints, and a camera that sends pictures."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI, HTTPException

from fluxprint_camera.app import create_app
from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.recording import Place
from fluxprint_camera.relay.frame import Frame
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from fluxprint_common.prints import PATH, Print, Prints, PrintsQuery, PrintState
from fluxprint_local.jpeg import frame_number, numbered_picture
from support.camera import settings_of
from support.queue import eventually
from support.servers import Database
from support.serving import serving
from support.tokens import Issuer, bearer

Json = dict[str, Any]

WITHIN_S = 60
#: Reading the system's authorities would cost more than all that is asked.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
#: Many and often, so that tests need not wait; a disk of tests has less room than one of production keeps free.
QUICK = {
    "prints_poll_s": 0.1,
    "timelapse_frame_by": "interval",
    "timelapse_interval_s": 0.1,
    "recording_fps": 15,
    "data_reserve_bytes": 0,
    "sweep_s": 0.05,
}


class QueueOfPrints:
    """What the queue service tells of prints."""

    def __init__(self) -> None:
        self.prints: dict[UUID, Print] = {}
        self.asked = 0
        self.silent = False
        self.app = FastAPI()
        self.app.post(PATH)(self._answer)

    async def asked_twice(self) -> None:
        """Wait until what is told now has been heard, and whoever listens to it has been told."""
        before = self.asked

        async def twice() -> bool:
            return self.asked > before + 2

        await eventually(twice, within_s=WITHIN_S)

    async def _answer(self, query: PrintsQuery) -> Prints:
        self.asked += 1
        if self.silent:
            raise HTTPException(503)
        told = [
            print_
            for key, print_ in self.prints.items()
            if key in query.attempt_ids or print_.ended_at is None or print_.state is PrintState.UNKNOWN
        ]
        return Prints(prints=told)


@dataclass
class Studio:
    """An organisation with a printer and a camera, at a service that can be ended and started again."""

    database: Database
    issuer: Issuer
    folder: Path
    queue: QueueOfPrints
    settings: dict[str, object]
    organisation: UUID = field(default_factory=new_id)
    printer: UUID = field(default_factory=new_id)
    camera: UUID = field(default_factory=new_id)
    app: FastAPI = field(default_factory=FastAPI)
    url: str = ""
    sent: int = 0

    @asynccontextmanager
    async def running(self, **changes: object) -> AsyncIterator[None]:
        """The service, until the block ends."""
        async with AsyncExitStack() as stack:
            queue_url = await stack.enter_async_context(serving(self.queue.app))
            self.app = create_app(
                settings_of(
                    database_url=self.database.url_for("camera"),
                    jwks_url=self.issuer.jwks_url,
                    queue_url=queue_url,
                    data_dir=self.folder,
                    rate_limits_enabled=False,
                    **{**QUICK, **self.settings, **changes},
                )
            )
            self.url = await stack.enter_async_context(serving(self.app))
            yield

    def neighbour(self) -> "Studio":
        """Another organisation at the same running service."""
        return replace(self, organisation=new_id(), printer=new_id(), camera=new_id())

    async def add_camera(self, key: str = "default", **columns: object) -> None:
        async with self.app.state.database.unit_of_work() as session:
            session.add(
                CameraRow(
                    id=self.camera,
                    organisation_id=self.organisation,
                    printer_id=self.printer,
                    bridge_id=new_id(),
                    key=key,
                    name="Camera",
                    **columns,
                )
            )

    def client(self, role: Role = Role.OWNER, organisation: UUID | None = None) -> httpx.AsyncClient:
        token = self.issuer.user_token(organisation=organisation or self.organisation, role=role)
        return httpx.AsyncClient(
            base_url=f"{self.url}/api/v1/cameras", headers=bearer(token), timeout=30, verify=_NO_AUTHORITIES
        )

    async def get(self, path: str, **params: str) -> Json:
        async with self.client() as client:
            answer = await client.get(path, params=params)
            assert answer.status_code == 200, answer.text
            found: Json = answer.json()
            return found

    # -- the printer and its camera --------------------------------------------------------------------------------

    def starts(self) -> Print:
        """A print begins."""
        print_ = Print(
            attempt_id=new_id(),
            job_id=new_id(),
            printer_id=self.printer,
            organisation_id=self.organisation,
            state=PrintState.PRINTING,
            reason=None,
            started_at=datetime.now(UTC),
            ended_at=None,
            progress=0.0,
            height_mm=None,
            told_at=None,
        )
        self.queue.prints[print_.attempt_id] = print_
        return print_

    def rises(self, print_: Print, height_mm: float) -> None:
        """The printer tells its height once more."""
        told = {"height_mm": height_mm, "told_at": datetime.now(UTC)}
        self.queue.prints[print_.attempt_id] = print_.model_copy(update=told)

    def pauses(self, print_: Print) -> None:
        self.queue.prints[print_.attempt_id] = print_.model_copy(update={"state": PrintState.PAUSED})

    def ends(self, print_: Print, state: PrintState = PrintState.COMPLETED, *, ago_s: float = 0) -> None:
        ended_at = datetime.now(UTC) - timedelta(seconds=ago_s)
        self.queue.prints[print_.attempt_id] = print_.model_copy(update={"state": state, "ended_at": ended_at})

    @asynccontextmanager
    async def filming(self, *, every_s: float = 0.05) -> AsyncIterator[None]:
        """The camera sends numbered pictures until the block ends."""

        async def film() -> None:
            with self.app.state.hub.publishing(
                camera_id=self.camera, organisation_id=self.organisation, expires_in_s=600
            ) as publication:
                while True:
                    self.sent += 1
                    publication.publish(
                        Frame.of(
                            numbered_picture(self.sent, rows=16), sequence=self.sent, captured_at=datetime.now(UTC)
                        )
                    )
                    await asyncio.sleep(every_s)

        task = asyncio.create_task(film())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # -- what comes of it ------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def recorded(self, frames: int) -> AsyncIterator[tuple[Print, Json]]:
        """A print of which so many frames are on disk, and its timelapse, in a process that ends with the block."""
        async with self.running():
            await self.add_camera()
            async with self.filming():
                print_ = self.starts()
                timelapse = await self.timelapse(print_, "recording")
                await self.frames_on_disk(timelapse, frames)
                yield print_, timelapse

    async def until_online(self) -> None:
        """Wait until the camera's pictures come."""

        async def comes() -> bool:
            live = self.app.state.hub.look(camera_id=self.camera, organisation_id=self.organisation)
            return live is not None and live.online

        await eventually(comes, within_s=WITHIN_S)

    async def timelapse(self, print_: Print, *states: str) -> Json:
        """The timelapse of a print, once it is in one of these states."""

        async def there() -> Json | None:
            items = (await self.get("/timelapses", attempt_id=show("attempt", print_.attempt_id)))["items"]
            return items[0] if items and items[0]["state"] in states else None

        return await eventually(there, within_s=WITHIN_S, every_s=0.1)

    async def recording_of(self, print_: Print, *states: str) -> Json:
        """The timelapse that this camera records of a print, once it is in one of these states, or in any."""

        async def there() -> Json | None:
            items = (await self.get("/timelapses", attempt_id=show("attempt", print_.attempt_id)))["items"]
            ours = [item for item in items if item["camera_id"] == show("camera", self.camera)]
            return ours[0] if ours and (not states or ours[0]["state"] in states) else None

        return await eventually(there, within_s=WITHIN_S, every_s=0.1)

    async def pictures(self, print_: Print) -> list[Json]:
        """The pictures of a print, oldest first."""
        items = (await self.get("/pictures", attempt_id=show("attempt", print_.attempt_id)))["items"]
        return list(reversed(items))

    async def shown(self, picture: Json) -> int:
        """The number of the frame that a kept picture is."""
        async with self.client() as client:
            answer = await client.get(picture["image_path"].removeprefix("/api/v1/cameras"))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
        assert len(answer.content) == picture["size_bytes"]
        number = frame_number(answer.content)
        assert number is not None
        return number

    def frames_folder(self, timelapse: Json) -> Path:
        folder: str = timelapse["id"].partition("_")[2]
        return self.folder / "frames" / folder

    async def frames_on_disk(self, timelapse: Json, count: int) -> None:
        """Wait until a recording has so many frames."""

        async def there() -> bool:
            return len(list(self.frames_folder(timelapse).glob("*.jpg"))) >= count

        await eventually(there, within_s=WITHIN_S, every_s=0.05)


async def finished(place: Place, studio: Studio, *, size_bytes: int, state: str = "ready", frames: int = 0) -> UUID:
    """A timelapse with a file and a picture."""
    row = TimelapseRow(
        id=new_id(), organisation_id=studio.organisation, printer_id=studio.printer, camera_id=studio.camera,
        job_id=new_id(), attempt_id=new_id(), state=state, size_bytes=size_bytes, started_at=datetime.now(UTC),
        frames=frames,
    )  # fmt: skip
    async with place.database.unit_of_work() as session:
        session.add(row)
    video = place.store.video(row.id)
    video.parent.mkdir(parents=True, exist_ok=True)
    video.write_bytes(b"video")
    return row.id
