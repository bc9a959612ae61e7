"""A camera that is watched: where its pictures come from, and what is followed about it."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.tap import Tap
from fluxprint_camera.watching.hysteresis import Hysteresis
from fluxprint_camera.watching.kinds import Kind
from fluxprint_camera.watching.policy import Policy
from fluxprint_camera.watching.service import Found
from fluxprint_camera.watching.settings import WatchSettings
from fluxprint_camera.watching.signs import PictureSigns
from fluxprint_common.prints import Print

#: After so many intervals without a picture, those from before say nothing about the next.
GAP_INTERVALS = 3


@dataclass(frozen=True)
class Shot:
    """A picture by itself, which needs nothing of the relay any more."""

    jpeg: bytes
    etag: str
    captured_at: datetime

    @classmethod
    def of(cls, frame: Frame) -> "Shot":
        return cls(bytes(frame.jpeg), frame.etag, frame.captured_at)


@dataclass(frozen=True)
class Place:
    """Which camera it is, and the print that runs there, if any."""

    organisation_id: UUID
    printer_id: UUID
    camera_id: UUID
    running: Print | None

    def found(self, kind: Kind, *, value: float, threshold: float, captured_at: datetime | None = None) -> Found:
        """Trouble at this camera."""
        return Found(
            organisation_id=self.organisation_id,
            printer_id=self.printer_id,
            camera_id=self.camera_id,
            attempt_id=self.running.attempt_id if self.running else None,
            job_id=self.running.job_id if self.running else None,
            kind=kind,
            value=value,
            threshold=threshold,
            captured_at=captured_at,
        )


@dataclass(eq=False)
class Watched:
    """One camera. A printer that prints is tapped; of the others the picture is taken that comes anyway.

    Attributes:
        scored_at: when the detector was last asked about it; `judged_at`: when that last answered.
    """

    place: Place
    policy: Policy
    signs: PictureSigns
    failure: Hysteresis
    interval_s: float
    due_at: float
    heard_at: float
    newest: Shot | None = None
    scored: Shot | None = None
    scored_at: float = float("-inf")
    judged_at: float = float("-inf")
    _tap: Tap | None = None
    _last: Frame | None = None
    _fresh: Shot | None = None
    _resources: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def begin(
        cls,
        hub: Hub,
        settings: WatchSettings,
        *,
        place: Place,
        policy: Policy,
        open_kinds: frozenset[Kind],
        now: float,
    ) -> "Watched":
        """Watch a camera from now on.

        Args:
            open_kinds: the trouble there that is known already.
        """
        printing = place.running is not None
        watched = cls(
            place=place,
            policy=policy,
            signs=PictureSigns(settings, printing=printing, open_kinds=open_kinds),
            failure=Hysteresis(policy.scores, entered=Kind.FAILURE in open_kinds),
            interval_s=settings.watch_interval_s if printing else settings.watch_idle_interval_s,
            due_at=now,
            heard_at=now,
        )
        if printing:
            rate = 1 / min(settings.watch_interval_s, settings.detector_interval_s)
            tapping = hub.tapping(camera_id=place.camera_id, organisation_id=place.organisation_id, max_fps=rate)
            watched._tap = watched._resources.enter_context(tapping)
        return watched

    def close(self) -> None:
        self._resources.close()

    def change(self, policy: Policy, open_kinds: frozenset[Kind]) -> None:
        """How it is to be watched now, and which trouble is open there: what was ended by something else than pictures,
        the end of the print before or a policy, is found again if it is there."""
        if policy != self.policy:
            self.policy = policy
            self.failure = Hysteresis(policy.scores, entered=self.failure.entered)
        self.failure.know(Kind.FAILURE in open_kinds)
        self.signs.know(open_kinds)

    def rest(self, seconds: float, now: float) -> None:
        """Look at no picture for so long."""
        self.due_at = max(self.due_at, now + seconds)

    async def take(self, hub: Hub, now: float) -> Shot | None:
        """A picture that was not looked at before, where one is due and there; `newest` is taken whether one is due or
        not."""
        frame = await self._frame(hub, now)
        if frame is not None:
            self.newest = self._fresh = Shot.of(frame)
            self.heard_at = now
        if now < self.due_at:
            return None
        if self._fresh is None:
            if now - self.heard_at > GAP_INTERVALS * self.interval_s:
                self.signs.pause()
                self.failure.forget()
            return None
        self.due_at = now + self.interval_s
        shot, self._fresh = self._fresh, None
        return shot

    async def _frame(self, hub: Hub, now: float) -> Frame | None:
        if self._tap is not None:
            return await self._tap.next(timeout_s=0) if self._tap.is_filled else None
        if now < self.due_at:
            return None
        live = hub.look(camera_id=self.place.camera_id, organisation_id=self.place.organisation_id)
        frame = live.frame if live is not None else None
        if frame is self._last:
            return None
        self._last = frame
        return frame
