"""All cameras of this process.

Frames live in memory only. What other parts know of the relay is this class, so that replicas can exchange frames
behind it: a camera whose uplink is elsewhere is a channel whose publication is fed from there.
"""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from fluxprint_camera.relay.channel import Channel, Publication
from fluxprint_camera.relay.elsewhere import Elsewhere
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.live import Live
from fluxprint_camera.relay.problems import TooManyViewers
from fluxprint_camera.relay.tap import Tap
from fluxprint_camera.relay.viewer import Left, Outlet, Totals, Viewer
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.problems import NotFound

log = get_logger(__name__)


class _Place:
    """A viewer's place. It is kept for as long as somebody watches, for hours: a generator takes ten times as much."""

    __slots__ = ("_at_most", "_channel", "_hub", "_viewer")

    def __init__(self, hub: "Hub", channel: Channel, viewer: Viewer, *, at_most: int | None) -> None:
        self._hub = hub
        self._channel = channel
        self._viewer = viewer
        self._at_most = at_most

    def __enter__(self) -> Viewer:
        self._hub.seat(self._viewer, self._channel, at_most=self._at_most)
        return self._viewer

    def __exit__(self, *_error: object) -> None:
        self._hub.see_off(self._viewer, self._channel)


@dataclass(frozen=True)
class Uplink:
    """A camera whose uplink this process has."""

    camera_id: UUID
    organisation_id: UUID
    publication: Publication


class Hub:
    """Channels by camera.

    Every deadline is looked at by one loop, `run()`; timers for each viewer and frame would cost more than the frames.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(self, settings: CameraSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.totals = Totals()
        #: What other processes have, and a bell for whoever exchanges frames with them.
        self.elsewhere: Elsewhere | None = None
        self.stirred = asyncio.Event()
        self._settings = settings
        self._clock = clock
        self._channels: dict[UUID, Channel] = {}

    async def run(self) -> None:
        """Look at the deadlines, for ever."""
        while True:
            self.sweep()
            await asyncio.sleep(self._settings.sweep_s)

    def sweep(self) -> None:
        """Look at the deadlines once, and forget cameras of which nothing is left."""
        now = self._clock()
        for channel in list(self._channels.values()):
            channel.sweep(now)
            if channel.is_over(now):
                del self._channels[channel.camera_id]

    def stop(self) -> None:
        """End every stream: the process is about to."""
        for channel in self._channels.values():
            for viewer in channel.viewers:
                viewer.stop()

    @contextmanager
    def publishing(
        self, *, camera_id: UUID, organisation_id: UUID, expires_in_s: float, fed: bool = False
    ) -> Iterator[Publication]:
        """The sending side of a camera, taken over from whoever had it.

        Args:
            fed: the uplink is another process's, and only its frames come here.
        """
        channel = self._channel(organisation_id, camera_id)
        publication = Publication(channel, expires_in_s=expires_in_s, clock=self._clock, fed=fed)
        channel.open(publication)
        self.stirred.set()
        try:
            yield publication
        finally:
            channel.close(publication, self._clock())
            self.stirred.set()

    def watching(
        self,
        *,
        camera_id: UUID,
        organisation_id: UUID,
        person_id: UUID,
        outlet: Outlet,
        expires_in_s: float,
        max_fps: float | None = None,
        wake: Callable[[], None] | None = None,
        at_most: int | None = None,
    ) -> AbstractContextManager[Viewer]:
        """A viewer of a camera for as long as the block runs, with the newest frame in its slot.

        Whether there is such a camera has been looked at before; it may be offline, and the viewer is told so.

        Args:
            wake: called when there is something to do for the viewer, for one who serves several.
            at_most: so many may watch as this person, where that is fewer than others may.

        Raises:
            NotFound: it is another organisation's.
            TooManyViewers: the camera, the person or the organisation has as many as it may have.
        """
        now = self._clock()
        viewer = Viewer(
            person_id=person_id,
            outlet=outlet,
            max_fps=max_fps or float("inf"),
            now=now,
            ends_at=now + expires_in_s,
            totals=self.totals,
            wake=wake,
        )
        return _Place(self, self._channel(organisation_id, camera_id), viewer, at_most=at_most)

    def seat(self, viewer: Viewer, channel: Channel, *, at_most: int | None) -> None:
        """Give a viewer a place. Raises: TooManyViewers"""
        # Nothing is awaited before the place is taken: of two who come at once one may be too many.
        self._refuse_a_crowd(channel, viewer.person_id, at_most=at_most)
        channel.join(viewer, self._clock())
        self._miss(channel)

    def see_off(self, viewer: Viewer, channel: Channel) -> None:
        """Take a viewer's place back."""
        viewer.leave(Left.DISCONNECTED)
        channel.part(viewer, self._clock())
        log.info(
            "viewer_left",
            camera=show("camera", channel.camera_id),
            why=viewer.left,
            sent=viewer.sent,
            dropped=viewer.dropped,
        )

    @contextmanager
    def tapping(self, *, camera_id: UUID, organisation_id: UUID, max_fps: float) -> Iterator[Tap]:
        """Frames of a camera for a part of this service, for as long as the block runs.

        The newest frame of an uplink that is there is had at once. A tap needs none, outlives one that goes, and counts
        in no limit.
        """
        channel = self._channel(organisation_id, camera_id)
        now = self._clock()
        tap = Tap(max_fps=max_fps, now=now)
        channel.tap(tap, now)
        self._miss(channel)
        try:
            yield tap
        finally:
            channel.untap(tap, self._clock())

    async def newest(self, *, camera_id: UUID, organisation_id: UUID, timeout_s: float) -> Frame | None:
        """The newest frame, fetched where another process has it; None where there is none in time."""
        live = self.look(camera_id=camera_id, organisation_id=organisation_id)
        if live is None or live.frame is not None or not live.online:
            return live.frame if live is not None else None
        with self.tapping(camera_id=camera_id, organisation_id=organisation_id, max_fps=1) as tap:
            return await tap.next(timeout_s=timeout_s)

    def look(self, *, camera_id: UUID, organisation_id: UUID) -> Live | None:
        """A camera as it is now, or None where no process knows anything of it."""
        channel = self._of(organisation_id, camera_id)
        here = self._look(channel) if channel is not None else None
        if channel is not None and channel.has_uplink:
            return here
        there = None
        if self.elsewhere is not None:
            there = self.elsewhere.look(camera_id=camera_id, organisation_id=organisation_id)
        if here is None or there is None:
            return there or here
        # What came while the uplink was here is older than what the other process has.
        frame = here.frame if here.connected and there.online else None
        return replace(there, frame=frame, viewers=max(here.viewers, there.viewers))

    def _look(self, channel: Channel) -> Live:
        now = self._clock()
        publication, frame = channel.publication, channel.current(now)
        viewers = len(channel.viewers)
        if self.elsewhere is not None and channel.has_uplink:
            viewers += self.elsewhere.viewers(channel.camera_id)
        return Live(
            online=channel.is_online(now),
            frame=frame,
            viewers=viewers,
            fps=publication.fps(now) if publication is not None else 0.0,
            status=channel.status(now),
            connected=publication is not None,
            last_frame_at=frame.received_at if frame is not None else None,
        )

    def connected(self) -> list[UUID]:
        """The cameras whose bridge is connected to this process."""
        return [channel.camera_id for channel in self._channels.values() if channel.has_uplink]

    def uplinks(self) -> list[Uplink]:
        """The cameras whose uplinks this process has."""
        return [uplink for camera_id in self._channels if (uplink := self.uplink(camera_id)) is not None]

    def uplink(self, camera_id: UUID) -> Uplink | None:
        """A camera whose uplink this process has."""
        channel = self._channels.get(camera_id)
        if channel is None or channel.publication is None or not channel.has_uplink:
            return None
        return Uplink(camera_id, channel.organisation_id, channel.publication)

    def live(self, uplink: Uplink) -> Live:
        """How such a camera is now."""
        return self._look(self._channel(uplink.organisation_id, uplink.camera_id))

    def has_uplink(self, camera_id: UUID) -> bool:
        """Whether this process has a camera's uplink."""
        channel = self._channels.get(camera_id)
        return channel is not None and channel.has_uplink

    def viewers_here(self, camera_id: UUID) -> int:
        """How many watch a camera in this process."""
        channel = self._channels.get(camera_id)
        return len(channel.viewers) if channel is not None else 0

    def missed(self) -> list[tuple[UUID, UUID]]:
        """Cameras that somebody wants frames of and nobody sends; with the organisation of each."""
        return [
            (channel.camera_id, channel.organisation_id)
            for channel in self._channels.values()
            if channel.publication is None and channel.wanted_fps > 0
        ]

    def _miss(self, channel: Channel) -> None:
        if channel.publication is None:
            self.stirred.set()

    def count(self) -> tuple[int, int]:
        """How many cameras are online, and how many viewers there are."""
        channels, now = self._channels.values(), self._clock()
        return sum(c.has_uplink and c.is_online(now) for c in channels), sum(len(c.viewers) for c in channels)

    def _channel(self, organisation_id: UUID, camera_id: UUID) -> Channel:
        channel = self._channels.get(camera_id)
        if channel is None:
            channel = self._channels[camera_id] = Channel(
                camera_id=camera_id, organisation_id=organisation_id, settings=self._settings, totals=self.totals
            )
        if channel.organisation_id != organisation_id:
            raise NotFound
        return channel

    def _of(self, organisation_id: UUID, camera_id: UUID) -> Channel | None:
        channel = self._channels.get(camera_id)
        return channel if channel is not None and channel.organisation_id == organisation_id else None

    def _refuse_a_crowd(self, channel: Channel, person_id: UUID, *, at_most: int | None) -> None:
        of_camera = self._settings.max_viewers_per_camera
        of_person = self._settings.max_viewers_per_person
        of_organisation = self._settings.max_viewers_per_organisation
        if len(channel.viewers) >= of_camera:
            raise TooManyViewers(f"This camera has {of_camera} viewers, as many as it may have.")
        neighbours = (c for c in self._channels.values() if c.organisation_id == channel.organisation_id)
        watching = [viewer.person_id for neighbour in neighbours for viewer in neighbour.viewers]
        if at_most is not None and watching.count(person_id) >= at_most:
            raise TooManyViewers(f"{at_most} watch by this link, as many as may.")
        if watching.count(person_id) >= of_person:
            raise TooManyViewers(f"You have {of_person} streams open, as many as one person may have; close one first.")
        if len(watching) >= of_organisation:
            raise TooManyViewers(f"Your organisation has {of_organisation} viewers, as many as it may have.")
