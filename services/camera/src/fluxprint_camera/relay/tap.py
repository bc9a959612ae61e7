"""Frames for a part of this service: the recorder, the watcher, another replica."""

import asyncio

from fluxprint_camera.relay.frame import JPEG, Frame
from fluxprint_camera.relay.pace import Pace


class Tap:
    """One slot, in which a newer frame takes the place of one that was not taken in time.

    Unlike a viewer it is counted in no limit and stays when the camera goes offline; the bridge is asked for its
    rate as for a viewer's.

    Args:
        max_fps: frames beyond it are skipped.
        accepts: the media type of the frames it takes.
    """

    def __init__(self, *, max_fps: float, now: float, accepts: str = JPEG) -> None:
        self.dropped = 0
        self._accepts = accepts
        self._pace = Pace(max_fps=max_fps, now=now)
        self._slot: Frame | None = None
        self._wake = asyncio.Event()

    @property
    def max_fps(self) -> float:
        """Frames per second, at most."""
        return self._pace.max_fps

    @property
    def is_filled(self) -> bool:
        """Whether `next()` would give a frame at once."""
        return self._slot is not None

    def offer(self, frame: Frame, now: float) -> None:
        """Put a frame into the slot; never waits."""
        if frame.media_type == self._accepts and self._pace.admits(now):
            self.dropped += self._slot is not None
            self._slot = frame
            self._wake.set()

    async def next(self, *, timeout_s: float) -> Frame | None:
        """The newest frame that was not had before, at once or when it comes; None where none came in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._slot is None:
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            return None
        frame, self._slot = self._slot, None
        return frame
