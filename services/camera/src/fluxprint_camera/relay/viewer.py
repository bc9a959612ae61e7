"""One viewer: a slot for one frame, and when it is over."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Protocol
from uuid import UUID

from fluxprint_camera.relay.frame import JPEG, Frame
from fluxprint_camera.relay.pace import Pace
from fluxprint_camera.relay.status import Status

#: Who takes less than this of what waits is not watching: a picture would be minutes old before it is there.
LEAST_BYTES_PER_S = 1024


class Outlet(Protocol):
    """Where a viewer's frames go."""

    def push(self, frame: Frame) -> bool:
        """Send a frame at once, if that is possible without waiting; false where nothing of it was sent."""
        ...

    def asks(self) -> bool:
        """Whether it takes what is in the slot by itself, when it can: nobody has to be woken for it."""
        ...

    def backlog(self) -> int:
        """Bytes that the connection has not taken yet."""
        ...

    def awaits(self) -> bool:
        """Whether a frame that was sent is to be acknowledged and was not."""
        ...

    def cut(self) -> None:
        """Drop the connection with what waits in it."""
        ...


class Left(StrEnum):
    """Why a viewer is gone."""

    DISCONNECTED = "disconnected"
    EXPIRED = "expired"
    REVOKED = "revoked"
    STOPPED = "stopped"
    STUCK = "stuck"
    SERVICE_STOPS = "service_stops"


@dataclass
class Totals:
    """Frames since the process started, over all cameras."""

    received: int = 0
    sent: int = 0
    dropped: int = 0


class Viewer:
    """Holds at most one frame that is not sent yet: a newer one takes its place, and whoever offers never waits.

    Args:
        person_id: who watches.
        max_fps: frames beyond it are skipped; infinite for a viewer that takes what comes.
        now: when the viewer came, on the hub's clock.
        ends_at: when its token ends.
        accepts: the media type of the frames it can show.
        wake: called when there is something to do (quick, no I/O), by who does not wait in `ready`.
    """

    __slots__ = (
        "_accepts", "_ends_at", "_heard_at", "_here_at", "_is_silent", "_news", "_outlet", "_pace", "_progress",
        "_progress_at", "_slot", "_totals", "_waiting", "_wake", "dropped", "idle", "left", "max_fps", "person_id",
        "sent",
    )  # fmt: skip

    def __init__(
        self,
        *,
        person_id: UUID,
        outlet: Outlet,
        max_fps: float,
        now: float,
        ends_at: float,
        totals: Totals,
        accepts: str = JPEG,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self.person_id = person_id
        self.max_fps = max_fps
        self.sent = 0
        self.dropped = 0
        self.left: Left | None = None
        #: Whether nothing of this viewer is under way in the server: only then may a frame go out past it.
        self.idle = False
        self._outlet = outlet
        self._ends_at = ends_at
        self._totals = totals
        self._slot: Frame | None = None
        self._news: Status | None = None
        self._wake = wake
        self._waiting: asyncio.Future[None] | None = None
        self._pace = Pace(max_fps=max_fps, now=now) if isfinite(max_fps) else None
        self._accepts = accepts
        self._progress = (0, 0)
        self._progress_at = now
        self._here_at = now
        self._heard_at = now
        self._is_silent = False

    @property
    def wanted_fps(self) -> float:
        """How many frames a second to ask the bridge for on behalf of this viewer. None are for one who acknowledges
        nothing, a page in the background perhaps; as soon as it does, the newest comes, and more are asked for."""
        return 0.0 if self._is_silent else self.max_fps

    def begin(self, outlet: Outlet, wake: Callable[[], None]) -> None:
        """Have frames go here from now on, where nothing is under way; nobody waits in `ready` any more."""
        self._outlet, self._wake = outlet, wake
        self.idle = True

    def offer(self, frame: Frame, now: float) -> None:
        """Send a frame at once, or put it into the slot, over one that was not taken in time."""
        if self.left is not None or frame.media_type != self._accepts:
            return
        if self._pace is not None and not self._pace.admits(now):
            return
        if self._slot is not None:
            self.dropped += 1
            self._totals.dropped += 1
        elif self.idle and self._news is None and self._outlet.push(frame):  # past nothing
            self._count_sent()
            return
        self._slot = frame
        if not self._outlet.asks():
            self._rouse()

    def flush(self) -> None:
        """Send what waits in the slot at once, where the connection takes it again."""
        if self._slot is not None and self.idle and self._news is None and self._outlet.push(self._slot):
            self._slot = None
            self._count_sent()

    def tell(self, status: Status) -> None:
        """How the camera is now. A picture that was not sent before it went is not sent any more."""
        if self.left is None:
            self._news = status
            if not status.online:
                self._slot = None
            self._rouse()

    async def ready(self) -> bool:
        """Wait until there is news or a frame; false when there will be none any more."""
        while not self.is_filled:
            self.idle = True
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        self.idle = False
        return self.left is None

    def _rouse(self) -> None:
        if self._wake is not None:
            self._wake()
        elif self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    @property
    def is_filled(self) -> bool:
        """Whether there is something to do for this viewer."""
        return self._slot is not None or self._news is not None or self.left is not None

    def news(self) -> Status | None:
        """How the camera is, where that was not asked for before."""
        news, self._news = self._news, None
        return news

    def take(self) -> Frame | None:
        """The newest frame, or None where there is none to be sent any more."""
        frame, self._slot = self._slot, None
        if frame is not None:
            self._count_sent()
        return frame

    def _count_sent(self) -> None:
        self.sent += 1
        self._totals.sent += 1

    def leave(self, why: Left) -> None:
        """End this viewer; the first reason counts."""
        if self.left is None:
            self.left = why
            self._slot = self._news = None
            self._rouse()

    def stop(self) -> None:
        """The service stops."""
        self._end_now(Left.SERVICE_STOPS)

    def revoke(self) -> None:
        """What the viewer was let in with is worth nothing any more."""
        self._end_now(Left.REVOKED)

    def _end_now(self, why: Left) -> None:
        """End properly, or by force where that would have to wait for the connection."""
        self.leave(why)
        if self._outlet.backlog():
            self._outlet.cut()

    def check(self, now: float, *, stuck_after_s: float) -> None:
        """Look at the deadlines: the token's end, and progress of the connection and of who reads it."""
        if now >= self._ends_at:
            self.leave(Left.EXPIRED)
        if self.left is None:
            self._here_at = now
        backlog = self._outlet.backlog()
        sent, before = self._progress
        # What grows without a frame is answers to pings: who only asks takes nothing. And each byte that is taken
        # buys its time, no more: who takes one now and then does not hold a connection by it.
        bought_s = float("inf") if self.sent != sent else max(0, before - backlog) / LEAST_BYTES_PER_S
        self._progress_at = min(now, self._progress_at + bought_s) if backlog and before else now
        self._heard_at = min(now, self._heard_at + bought_s) if self._outlet.awaits() else now
        self._is_silent = now - self._heard_at >= stuck_after_s
        self._progress = self.sent, backlog
        # Who has left gets so long for what is on its way, however busily it reads.
        if backlog and now - min(self._progress_at, self._here_at) >= stuck_after_s:
            self.leave(Left.STUCK)
            self._outlet.cut()
