"""From the list that a bridge sends to its cameras in the database."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_camera.cameras import service as cameras
from fluxprint_camera.cameras.announced import Announced
from fluxprint_camera.cameras.service import TooManyCameras
from fluxprint_camera.ingest.messages import AnnouncedCamera, RefusedCamera
from fluxprint_camera.ingest.printers import PrinterDirectory
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.database import Database
from fluxprint_common.ids import PrinterId
from fluxprint_common.principal import Principal
from fluxprint_common.problems import ServiceError, Unavailable, from_database

DATABASE_ERRORS = (DBAPIError, PoolTimeout, ConnectionError, TimeoutError)

_PRINTER_ID: TypeAdapter[UUID] = TypeAdapter(PrinterId)
NOT_ITS_PRINTER = ("not_its_printer", "This bridge has no such printer; see GET /bridge/printers.")


@dataclass(frozen=True)
class Registered:
    """The answer to a list.

    Attributes:
        cameras: by channel.
        printers: by channel, of those cameras.
        unsure: channels that are refused only because it cannot be found out now whose they are.
    """

    cameras: Mapping[int, UUID]
    refused: Sequence[RefusedCamera]
    printers: Mapping[int, UUID] = field(default_factory=dict)
    unsure: frozenset[int] = frozenset()


class Register:
    """Registers the cameras of one bridge.

    Args:
        authorization: the bridge's own header, for the queue service to decide about its printers.
    """

    def __init__(
        self,
        database: Database,
        printers: PrinterDirectory,
        settings: CameraSettings,
        *,
        bridge: Principal,
        authorization: str,
    ) -> None:
        self._database = database
        self._printers = printers
        self._settings = settings
        self._bridge = bridge
        self._authorization = authorization

    async def take(self, announced: Sequence[AnnouncedCamera]) -> Registered:
        """Make or find the cameras. What cannot be found out now is refused as well: announce it again."""
        refused: list[RefusedCamera] = []
        limit = self._settings.max_cameras_per_bridge
        refused += [_refused(c, "too_many_cameras", f"A bridge may have {limit}.") for c in announced[limit:]]
        asked = announced[:limit]
        try:
            owned, away = await self._printers.of_bridge(self._authorization), None
        except Unavailable as error:
            owned, away = frozenset(), error
        try:
            with _translated():
                async with self._database.unit_of_work() as session:
                    mine = [c for c in asked if _printer_id(c) in owned]
                    if away is not None:
                        mine = await self._before(session, asked)
                    found = await self._ensure(session, mine)
        except ServiceError as error:
            refused += [_refused(c, error.code, error.detail or error.title) for c in asked]
            return Registered({}, refused, unsure=frozenset(c.channel for c in asked))
        for camera in asked:
            if camera.channel in found:
                continue
            if camera in mine:
                refused.append(_refused(camera, TooManyCameras.code, f"{TooManyCameras().title}."))
            elif away is not None:
                refused.append(_refused(camera, away.code, away.detail or away.title))
            else:
                refused.append(_refused(camera, *NOT_ITS_PRINTER))
        printers = {c.channel: id_ for c in asked if c.channel in found and (id_ := _printer_id(c)) is not None}
        return Registered(found, refused, printers)

    async def _before(self, session: AsyncSession, asked: Sequence[AnnouncedCamera]) -> list[AnnouncedCamera]:
        """What belonged to this bridge before: enough while nobody can be asked."""
        known = await cameras.places_of_bridge(
            session, organisation_id=self._bridge.organisation_id, bridge_id=self._bridge.subject
        )
        return [c for c in asked if (_printer_id(c), c.key) in known]

    async def _ensure(self, session: AsyncSession, mine: Sequence[AnnouncedCamera]) -> dict[int, UUID]:
        wanted = {
            c.channel: Announced(
                printer_id=printer_id, key=c.key, name=c.name, rotate=c.rotate, flip_h=c.flip_h, flip_v=c.flip_v
            )
            for c in mine
            if (printer_id := _printer_id(c)) is not None
        }
        ids = await cameras.ensure(
            session,
            organisation_id=self._bridge.organisation_id,
            bridge_id=self._bridge.subject,
            announced=list(wanted.values()),
            limit=self._settings.max_cameras_per_organisation,
        )
        return {channel: ids[one.place] for channel, one in wanted.items() if one.place in ids}


def _printer_id(camera: AnnouncedCamera) -> UUID | None:
    try:
        return _PRINTER_ID.validate_python(camera.printer_id)
    except ValidationError:
        return None  # a typing error in the bridge's settings: refused like any printer that it has not


def _refused(camera: AnnouncedCamera, code: str, detail: str) -> RefusedCamera:
    return RefusedCamera(channel=camera.channel, code=code, detail=detail)


@contextmanager
def _translated() -> Iterator[None]:
    """Errors of the database as problems. (FastAPI's error handlers answer requests only.)"""
    try:
        yield
    except DATABASE_ERRORS as error:
        translated = from_database(error, {})
        if translated is None:
            raise
        raise translated from error
