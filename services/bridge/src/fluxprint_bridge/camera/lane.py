"""One camera on the uplink: reads as much as is wanted, and holds the newest picture until it is its turn."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from fluxprint_bridge.camera import jpeg as jpeg_file
from fluxprint_bridge.camera.faults import Reason, SourceFailed
from fluxprint_bridge.camera.source import CameraSource, Picture
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

MAX_BACKOFF_S = 30.0


@dataclass
class Limits:
    """What the relay takes."""

    max_frame_bytes: int
    max_width: int


@dataclass(frozen=True)
class State:
    """How the camera is, as the relay is told."""

    ok: bool
    reason: Reason | None = None
    detail: str | None = None


class Lane:
    """Run `read()`; `take()` what it holds.

    Args:
        channel: the camera's number on this connection.
        changed: called when there is something to send.
    """

    def __init__(
        self, channel: int, name: str, source: CameraSource, limits: Limits, changed: Callable[[], None]
    ) -> None:
        self.channel = channel
        self.fps = 0.0
        self.idle_interval_s = 60.0
        self.state: State | None = None
        self.state_told = False
        self.heard = False  #: whether the relay heard something of it lately
        self._name = name
        self._source = source
        self._limits = limits
        self._changed = changed
        self._wanted = asyncio.Event()
        self._known = asyncio.Event()
        self._picture: Picture | None = None
        self._due = 0.0

    # -- what the relay wants ------------------------------------------------------------------------------------------

    def want(self, fps: float, idle_interval_s: float) -> None:
        """The relay's wish, which replaces the last one."""
        self.fps, self.idle_interval_s = max(0.0, fps), max(1.0, idle_interval_s)
        self._known.set()
        wanted, self._wanted = self._wanted, asyncio.Event()
        wanted.set()

    def due_at(self) -> float | None:
        """When the picture that is held may be sent; None where there is none."""
        return None if self._picture is None else self._due

    def take(self, now: float) -> Picture:
        """The newest picture, which the lane then holds no more."""
        picture, self._picture = self._picture, None
        assert picture is not None  # noqa: S101  (for the type checker)
        interval = 1 / self.fps if self.fps > 0 else 0.0
        self._due = max(self._due + interval, now + interval / 2)  # pictures come with jitter: keep the average
        return picture

    # -- what the camera gives -----------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read for ever, as fast as is wanted."""
        await self._known.wait()
        failures = 0
        while True:
            wanted = self._wanted
            try:
                if self.fps > 0:
                    async with aclosing(self._source.pictures(self._failed)) as pictures:
                        async for picture in pictures:  # what comes while one travels takes the place of the last
                            self._offer(picture)
                            failures = 0
                            if self.fps == 0:
                                break
                else:
                    self._offer(await self._source.picture(self._failed))
                    failures = 0
                    await wait_for(wanted, self.idle_interval_s)
            except SourceFailed as failed:
                failures += 1
                self._failed(failed)
                await wait_for(wanted, backoff_s(failures, cap_s=MAX_BACKOFF_S))

    def _failed(self, failed: SourceFailed) -> None:
        self._set(State(ok=False, reason=failed.reason, detail=failed.detail[:300]))

    def _offer(self, picture: Picture) -> None:
        if (too_large := self._beyond_limits(picture)) is not None:
            self._set(State(ok=False, reason=Reason.TOO_LARGE, detail=too_large))
            return
        self._picture = picture
        self._set(State(ok=True, detail=self._source.remark))
        self._changed()

    def _beyond_limits(self, picture: Picture) -> str | None:
        size, limits = len(picture.jpeg), self._limits
        if size > limits.max_frame_bytes:
            return f"pictures of {size} bytes, and {limits.max_frame_bytes} are taken: lower resolution or quality"
        pixels = max(jpeg_file.size_of(picture.jpeg) or (0, 0))
        if pixels > limits.max_width:
            return f"pictures of {pixels} pixels, and {limits.max_width} are taken: lower the resolution"
        return None

    def _set(self, state: State) -> None:
        before, self.state = self.state, state
        if before == state or (before is not None and not state.ok and before.reason == state.reason):
            return
        if not state.ok:
            log.warning("camera_failed", camera=self._name, reason=state.reason, detail=state.detail)
        elif state.detail is not None:
            log.warning("camera_works_badly", camera=self._name, detail=state.detail)
        elif before is not None:
            log.info("camera_works_again", camera=self._name)
        self.state_told = False
        self._changed()


async def wait_for(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for an event, but not longer than so many seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, timeout_s)):
            await event.wait()
