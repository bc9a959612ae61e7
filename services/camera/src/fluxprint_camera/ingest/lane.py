"""One camera of an uplink: what is wanted of it, and what came."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel

from fluxprint_camera.cameras.announced import Seen, Source
from fluxprint_camera.ingest.messages import Ack, SourceState, Want
from fluxprint_camera.relay.channel import Ended
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.settings import CameraSettings

Send = Callable[[BaseModel], Awaitable[None]]


class Lane:
    """Holds the camera's publication until `close()`.

    Args:
        channel: the camera's number on this connection.
        expires_in_s: when the bridge's token ends.
    """

    def __init__(
        self,
        hub: Hub,
        settings: CameraSettings,
        send: Send,
        *,
        channel: int,
        camera_id: UUID,
        printer_id: UUID,
        organisation_id: UUID,
        expires_in_s: float,
    ) -> None:
        self.channel = channel
        self.printer_id = printer_id
        self.camera_id = camera_id
        self.sequence = 0
        self.received = 0
        self.owes_ack = False
        self.serving: asyncio.Task[None] | None = None
        self._settings = settings
        self._send = send
        self._holding = ExitStack()
        self._publication = self._holding.enter_context(
            hub.publishing(camera_id=camera_id, organisation_id=organisation_id, expires_in_s=expires_in_s)
        )
        self._next_at = 0.0
        self._source: Source | None = None
        self._kept: Source | None = None
        self._last_frame_at: datetime | None = None

    def close(self) -> None:
        """Let the camera go."""
        self._holding.close()

    def lose_printer(self) -> None:
        """Its printer was deleted, or is another bridge's now."""
        self._publication.end(Ended.PRINTER_LEFT)

    async def announce(self) -> Ended:
        """Tell the bridge what is wanted, until the publication ends; why it did."""
        while (ended := self._publication.ended) is None:
            await self._send(
                Want(
                    channel=self.channel,
                    fps=self._publication.wanted_fps,
                    idle_interval_s=self._settings.idle_interval_s,
                )
            )
            await self._publication.changed()
        return ended

    def publish(self, picture: memoryview, *, sequence: int, captured_at: datetime) -> float:
        """Hand a picture on; for how many seconds its acknowledgement is to wait.

        A bridge that sends far more than it is asked for gets its acknowledgements later.
        """
        frame = Frame.of(picture, sequence=sequence, captured_at=captured_at)
        self.sequence = sequence
        self.received += 1
        self._last_frame_at = frame.received_at
        self._publication.publish(frame)
        if self._source is None or self._source.state != "ok":
            self._set_source("ok", None, None)
        now = asyncio.get_running_loop().time()
        early_s = max(0.0, self._next_at - now)
        self._next_at = now + early_s + 1 / (2 * self._settings.max_fps)
        self.owes_ack = early_s > 0  # at once: the next message may be there already
        return early_s

    async def acknowledge(self, sequence: int, *, after_s: float) -> None:
        """Ask for the next frame."""
        if after_s:
            await asyncio.sleep(after_s)
            self.owes_ack = False
        await self._send(Ack(channel=self.channel, sequence=sequence))

    def hear(self, message: SourceState) -> bool:
        """The bridge's word about the camera itself; whether it is news."""
        self._publication.report(message.reason)
        before, detail = self._source, message.detail
        same = before is not None and (before.state, before.reason) == (message.state, message.reason)
        if same and before is not None and (message.state == "failed" or before.detail == detail):
            return False
        self._set_source(message.state, message.reason, detail)
        return True

    def _set_source(self, state: str, reason: str | None, detail: str | None) -> None:
        before, since = self._source, datetime.now(UTC)
        if before is not None and (before.state, before.reason) == (state, reason):
            since = before.since
        self._source = Source(state, reason, detail, since)

    @property
    def has_news(self) -> bool:
        """Whether the camera says something else of itself than what is kept."""
        return self._source is not self._kept

    def news(self, *, at_the_end: bool = False) -> Seen | None:
        """What is not kept yet."""
        source = self._source if self.has_news else None
        last_frame_at = self._last_frame_at if at_the_end else None
        return Seen(last_frame_at, source) if source is not None or last_frame_at is not None else None

    def was_kept(self, seen: Seen) -> None:
        self._kept = seen.source or self._kept
