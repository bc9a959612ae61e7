"""A relay with one camera, on a clock that the tests turn."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

from fluxprint_camera.relay.channel import Publication
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.viewer import Viewer
from fluxprint_common.ids import new_id
from support.camera import Clock, Connection, settings_of

ORGANISATION = new_id()


class Relay:
    """A hub with one camera, and a clock."""

    def __init__(self, **settings: object) -> None:
        self.clock = Clock()
        self.settings = settings_of(**settings)
        self.hub = Hub(self.settings, clock=self.clock)
        self.camera = new_id()

    def publishing(
        self, camera: UUID | None = None, *, expires_in_s: float = 900
    ) -> AbstractContextManager[Publication]:
        return self.hub.publishing(
            camera_id=camera or self.camera, organisation_id=ORGANISATION, expires_in_s=expires_in_s
        )

    @contextmanager
    def watching(
        self,
        camera: UUID | None = None,
        *,
        connection: Connection | None = None,
        organisation: UUID = ORGANISATION,
        person: UUID | None = None,
        expires_in_s: float = 900,
        max_fps: float | None = None,
    ) -> Iterator[Viewer]:
        with self.hub.watching(
            camera_id=camera or self.camera,
            organisation_id=organisation,
            person_id=person or new_id(),
            outlet=connection or Connection(),
            expires_in_s=expires_in_s,
            max_fps=max_fps,
        ) as viewer:
            yield viewer

    def after(self, seconds: float) -> None:
        """Let time pass, and the loop look once."""
        self.clock.now += seconds
        self.hub.sweep()


def taken(viewer: Viewer) -> int | None:
    """The number of the frame that the viewer would send now."""
    newest = viewer.take()
    return newest.sequence if newest else None
