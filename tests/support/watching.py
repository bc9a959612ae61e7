"""A watcher without loops: a test turns its clock, shows it pictures and has it look."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.relay.channel import Publication
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.settings import CameraSettings
from fluxprint_camera.watching import repository
from fluxprint_camera.watching.detection import Detection
from fluxprint_camera.watching.metrics import WatchMetrics
from fluxprint_camera.watching.models import WatchPolicy
from fluxprint_camera.watching.process import DetectorFailed
from fluxprint_camera.watching.records import Records
from fluxprint_camera.watching.storage import DecisionPictures
from fluxprint_camera.watching.watcher import Watcher
from fluxprint_common.database import Database
from fluxprint_common.ids import new_id
from fluxprint_common.prints import Print, PrintState
from support import servers
from support.camera import TAKEN_AT, Clock, settings_of

Row = Mapping[str, object]


class Prints:
    """What prints, as a test says."""

    def __init__(self) -> None:
        self.prints: dict[UUID, Print] = {}
        self.asked: set[UUID] = set()
        self._asking: set[UUID] = set()

    @property
    def known(self) -> frozenset[UUID]:
        return frozenset(self.prints) | frozenset(self.asked)

    def ask_about(self, attempt_ids: Collection[UUID]) -> None:
        self.asked |= self._asking  # the queue service has answered since
        self._asking = set(attempt_ids)

    def forget(self) -> None:
        """The service was restarted, and has asked about nothing yet."""
        self.asked, self._asking = set(), set()

    def begin(self, organisation_id: UUID, printer_id: UUID, attempt_id: UUID | None = None) -> Print:
        found = Print(
            attempt_id=attempt_id or new_id(),
            job_id=new_id(),
            printer_id=printer_id,
            organisation_id=organisation_id,
            state=PrintState.PRINTING,
            reason=None,
            started_at=datetime.now(UTC),
            ended_at=None,
            progress=None,
            height_mm=None,
        )
        return self.put(found)

    def put(self, found: Print) -> Print:
        self.prints[found.attempt_id] = found
        return found

    def end(self, found: Print) -> None:
        ended = {"state": PrintState.COMPLETED, "ended_at": datetime.now(UTC)}
        self.put(found.model_copy(update=ended))


@dataclass
class Scorer:
    """A detector that says what a test says; None: it fails."""

    said: Mapping[str, float] | None = None
    model: str = "model.onnx"
    model_version: str = "0123456789abcdef"
    pictures: list[bytes] = field(default_factory=list)

    async def score(self, jpeg: bytes) -> Mapping[str, float]:
        self.pictures.append(jpeg)
        if self.said is None:
            raise DetectorFailed("it hung")
        return self.said


class Replica:
    """One process's hub and watcher."""

    def __init__(
        self, database: Database, prints: Prints, settings: CameraSettings, clock: Clock, folder: Path
    ) -> None:
        self.hub = Hub(settings, clock=clock)
        self.scorer = Scorer()
        self.pictures = DecisionPictures(folder, reserve_bytes=0)
        self.records = Records(database, self.pictures, settings, WatchMetrics())
        self.watcher = Watcher(self.hub, database, self.records, prints, settings, clock=clock)
        self.detection = Detection(self.watcher.watched, self.scorer, self.records, settings, clock=clock)
        self._uplinks = ExitStack()

    def connect(self, camera: CameraRow) -> Publication:
        """A bridge's connection with that camera."""
        return self._uplinks.enter_context(
            self.hub.publishing(camera_id=camera.id, organisation_id=camera.organisation_id, expires_in_s=1e9)
        )

    def disconnect(self) -> None:
        self._uplinks.close()

    async def step(self) -> None:
        """Each of the loops once."""
        await self.watcher.survey()
        await self.watcher.look()
        await self.detection.step()

    def close(self) -> None:
        self.disconnect()
        self.watcher.close()
        self.pictures.close()


class Workshop:
    """An organisation with cameras in a database, and replicas that watch them."""

    def __init__(self, url: str, database: Database, folder: Path) -> None:
        self.url = url
        self.database = database
        self.folder = folder
        self.clock = Clock()
        self.prints = Prints()
        self.organisation_id = new_id()
        self.settings = settings_of(
            watch_interval_s=5,
            watch_idle_interval_s=60,
            watch_frozen_after_s=60,
            watch_black_after_s=20,
            watch_clear_after_s=10,
            watch_missing_after_s=60,
            detector_interval_s=10,
        )
        self.replicas: list[Replica] = []
        self._sequence = 0

    def replica(self, **changed: object) -> Replica:
        settings = self.settings.model_copy(update=changed)
        replica = Replica(self.database, self.prints, settings, self.clock, self.folder)
        self.replicas.append(replica)
        return replica

    async def camera(self, *, printer_id: UUID | None = None, key: str = "default") -> CameraRow:
        row = CameraRow(
            id=new_id(),
            organisation_id=self.organisation_id,
            printer_id=printer_id or new_id(),
            bridge_id=new_id(),
            name="Camera",
            key=key,
        )
        async with self.database.unit_of_work() as session:
            session.add(row)
        return row

    async def show(self, replica: Replica, uplink: Publication, *pictures: bytes, every_s: float = 5) -> None:
        """A picture every few seconds, and the replica looks at each; it surveys at the first and the last."""
        for number, picture in enumerate(pictures, start=1):
            self.clock.now += every_s
            self._sequence += 1
            uplink.publish(Frame.of(picture, sequence=self._sequence, captured_at=TAKEN_AT))
            if number in {1, len(pictures)}:
                await replica.watcher.survey()
            await replica.watcher.look()
            await replica.detection.step()

    async def wait(self, replica: Replica, seconds: float) -> None:
        """Time without a picture."""
        for _ in range(int(seconds / 5)):
            self.clock.now += 5
            await replica.step()

    async def decisions(self) -> list[Row]:
        """All of them, oldest first."""
        async with self.database.reading() as session:
            found = await session.execute(text("SELECT * FROM camera.decision ORDER BY id"))
            return [dict(row) for row in found.mappings()]

    async def kinds(self) -> list[tuple[object, object]]:
        """What was found, and why it ended."""
        return [(row["kind"], row["end_reason"]) for row in await self.decisions()]

    async def policy(self, *, printer_id: UUID | None = None, **changed: object) -> None:
        """The organisation's policy, or a printer's, by somebody and long ago."""
        values = {
            "frozen": "notify", "black": "notify", "no_picture": "notify", "failure": "notify",
            "enter_score": 0.8, "leave_score": 0.5, "enter_after_s": 20, "leave_after_s": 20,
            "updated_by": new_id(), "updated_at": TAKEN_AT - timedelta(days=400), **changed,
        }  # fmt: skip
        whose = {"id": new_id(), "organisation_id": self.organisation_id, "printer_id": printer_id}
        async with self.database.unit_of_work() as session:
            await repository.put_policy(session, whose, changed=values)

    async def policies(self) -> Sequence[WatchPolicy]:
        async with self.database.reading() as session:
            return await repository.policies(session, [self.organisation_id])

    async def change(self, sql: str, **values: object) -> None:
        """What only time would do otherwise."""
        async with self.database.unit_of_work() as session:
            await session.execute(text(sql), values)


class At:
    """A camera with a bridge that is connected to a replica, at a printer that prints."""

    def __init__(self, workshop: Workshop, replica: Replica, camera: CameraRow, uplink: Publication) -> None:
        self.workshop = workshop
        self.replica = replica
        self.camera = camera
        self.uplink = uplink
        self.running = workshop.prints.begin(workshop.organisation_id, camera.printer_id)

    async def show(self, *pictures: bytes, every_s: float = 5) -> None:
        await self.workshop.show(self.replica, self.uplink, *pictures, every_s=every_s)


@asynccontextmanager
async def workshop_at(database: servers.Database, folder: Path) -> AsyncIterator[Workshop]:
    """A workshop in this database."""
    opened = Database(database.url_for("camera"), application="test", pool_size=2)
    workshop = Workshop(database.url_for("camera"), opened, folder)
    try:
        yield workshop
    finally:
        for replica in workshop.replicas:
            replica.close()
        await opened.close()
