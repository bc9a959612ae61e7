"""One camera in this process: who sends its pictures, the newest of them, and who watches."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from uuid import UUID

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.status import GONE, NO_PICTURES, ONLINE, Status
from fluxprint_camera.relay.tap import Tap
from fluxprint_camera.relay.viewer import Totals, Viewer
from fluxprint_camera.settings import CameraSettings

_RATE_WINDOW = 30


class Ended(StrEnum):
    """Why an uplink is over."""

    TAKEN_OVER = "taken_over"
    EXPIRED = "expired"
    SILENT = "silent"
    PRINTER_LEFT = "printer_left"


class Publication:
    """The sending side of a channel, held by one uplink."""

    def __init__(
        self, channel: "Channel", *, expires_in_s: float, clock: Callable[[], float], fed: bool = False
    ) -> None:
        self.ended: Ended | None = None
        self.trouble: str | None = None
        self.fed = fed
        self.began_at = time.time()  # of the calendar: for other processes
        self.opened_at = clock()
        self._channel = channel
        self._clock = clock
        self._heard_at = self.opened_at
        self._ends_at = self._heard_at + expires_in_s
        self._arrivals: deque[float] = deque(maxlen=_RATE_WINDOW)
        self._changed = asyncio.Event()

    @property
    def wanted_fps(self) -> float:
        """Frames per second that viewers want now; 0 when nobody watches."""
        return self._channel.wanted_fps

    def publish(self, frame: Frame) -> None:
        """Hand a frame to every viewer; never waits. An uplink that is over changes nothing any more."""
        if self.ended is None:
            self.trouble = None
            now = self._heard_at = self._clock()
            self._arrivals.append(now)
            self._channel.publish(frame, now)

    def report(self, trouble: str | None) -> None:
        """What the bridge says of the camera: why it gives no pictures, or that it does. A frame says so too."""
        if self.ended is None:
            self.trouble = trouble
            self._heard_at = self._clock()
            self._channel.tell(self._heard_at)

    async def changed(self) -> None:
        """Wait until viewers want something else, or the uplink is over."""
        await self._changed.wait()
        self._changed.clear()

    def notice(self) -> None:
        """Wake who waits for a change."""
        self._changed.set()

    def end(self, why: Ended) -> None:
        """The uplink must close."""
        if self.ended is None:
            self.ended = why
            self.notice()

    def check(self, now: float, *, silence_s: float) -> None:
        """Look at the deadlines: the token's end, and silence."""
        if now >= self._ends_at:
            self.end(Ended.EXPIRED)
        elif now - self._heard_at >= silence_s:
            self.end(Ended.SILENT)

    def fps(self, now: float) -> float:
        """Frames per second that arrive, over the last of them."""
        if len(self._arrivals) < 2:
            return 0.0
        return (len(self._arrivals) - 1) / max(now - self._arrivals[0], 0.001)


class Channel:
    """Exists while an uplink, a viewer or a tap does, and for as long as its last picture is current."""

    def __init__(self, *, camera_id: UUID, organisation_id: UUID, settings: CameraSettings, totals: Totals) -> None:
        self.camera_id = camera_id
        self.organisation_id = organisation_id
        self.publication: Publication | None = None
        self.viewers: set[Viewer] = set()
        self.taps: set[Tap] = set()
        self.wanted_fps = 0.0
        self.latest: Frame | None = None
        self._settings = settings
        self._totals = totals
        self._latest_at = 0.0
        self._offline_at = float("-inf")
        self._status = ONLINE  # as viewers were told
        self._told_at = float("-inf")
        self._lower_at: float | None = None

    @property
    def has_uplink(self) -> bool:
        """Whether this process has the camera's uplink."""
        return self.publication is not None and not self.publication.fed

    def current(self, now: float) -> Frame | None:
        """The newest picture, unless it is too old to be called current, or the bridge says that it shows nothing."""
        troubled = self.publication is not None and self.publication.trouble is not None
        return self.latest if now - self._latest_at < self._settings.silence_s and not troubled else None

    def is_online(self, now: float) -> bool:
        """Whether pictures come. A bridge may be connected whose camera is off."""
        return self.publication is not None and self.current(now) is not None

    def status(self, now: float) -> Status:
        """What to tell viewers. A bridge that was there a moment ago is probably on its way back."""
        grace_s = self._settings.offline_grace_s
        if self.publication is None:
            return ONLINE if now - self._offline_at < grace_s else GONE
        if self.publication.trouble is not None:
            return Status(self.publication.trouble)
        comes = self.current(now) is not None or now - self.publication.opened_at < grace_s
        return ONLINE if comes else Status(NO_PICTURES)

    def is_over(self, now: float) -> bool:
        """Whether there is nothing left to keep."""
        return self.publication is None and not self.viewers and not self.taps and self.current(now) is None

    def publish(self, frame: Frame, now: float) -> None:
        self._totals.received += 1
        self.latest, self._latest_at = frame, now
        if not self._status.online:
            self.tell(now)
        for viewer in self.viewers:
            viewer.offer(frame, now)
        for tap in self.taps:
            tap.offer(frame, now)

    def open(self, publication: Publication) -> None:
        """A new uplink; one that is there is taken over."""
        if self.publication is not None:
            self.publication.end(Ended.TAKEN_OVER)
        if publication.fed:
            self.latest = None  # of an uplink that was here: the other process has had newer ones since
        self.publication = publication

    def close(self, publication: Publication, now: float) -> None:
        """The uplink is gone; viewers stay a while, for bridges come back."""
        if self.publication is publication:
            self.publication = None
            if publication.fed:
                self.latest = None  # newer ones come to the other process, and not here any more
            self._offline_at = now if self._status.online else float("-inf")

    def tell(self, now: float) -> None:
        """Tell viewers how the camera is: where that is news, and again and again that it is offline. A connection on
        which nothing is sent is taken for dead by what is between, and a dead one for alive by us."""
        status = self.status(now)
        again = not status.online and now - self._told_at >= self._settings.idle_interval_s
        if status != self._status or again:
            self._status, self._told_at = status, now
            for viewer in self.viewers:
                viewer.tell(status)

    def join(self, viewer: Viewer, now: float) -> None:
        self.tell(now)
        self.viewers.add(viewer)
        if not self._status.online:
            viewer.tell(self._status)
        elif (frame := self.current(now)) is not None:
            viewer.offer(frame, now)
        self._adjust_demand(now)

    def part(self, viewer: Viewer, now: float) -> None:
        self.viewers.discard(viewer)
        self._adjust_demand(now)

    def tap(self, tap: Tap, now: float) -> None:
        self.taps.add(tap)
        if self.publication is not None and (frame := self.current(now)) is not None:
            tap.offer(frame, now)
        self._adjust_demand(now)

    def untap(self, tap: Tap, now: float) -> None:
        self.taps.discard(tap)
        self._adjust_demand(now)

    def sweep(self, now: float) -> None:
        """Look at every deadline of this camera."""
        if self.publication is not None:
            self.publication.check(now, silence_s=self._settings.silence_s)
        self.tell(now)
        for viewer in self.viewers:
            viewer.check(now, stuck_after_s=self._settings.stuck_after_s)
        self._adjust_demand(now)
        if now - self._latest_at >= self._settings.silence_s:
            self.latest = None

    def _adjust_demand(self, now: float) -> None:
        """Ask for more at once, for less only after a while: people switch back and forth."""
        rates = [*(viewer.wanted_fps for viewer in self.viewers), *(tap.max_fps for tap in self.taps)]
        wanted = min(max(rates, default=0.0), self._settings.max_fps)
        if wanted > 0:  # never less than when nobody watches
            wanted = max(wanted, 1 / self._settings.idle_interval_s)
        if wanted >= self.wanted_fps:
            self._lower_at = None
        elif self._lower_at is None:
            self._lower_at = now + self._settings.linger_s
        if wanted > self.wanted_fps or (self._lower_at is not None and now >= self._lower_at):
            self.wanted_fps, self._lower_at = wanted, None
            if self.publication is not None:
                self.publication.notice()
