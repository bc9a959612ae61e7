"""What an uplink tells of cameras."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

#: A printer, and the bridge's key of one of its cameras: unique in an organisation.
Place = tuple[UUID, str]


@dataclass(frozen=True)
class Announced:
    """One camera of a bridge, as the bridge describes it."""

    printer_id: UUID
    key: str
    name: str
    rotate: int
    flip_h: bool
    flip_v: bool

    @property
    def place(self) -> Place:
        return self.printer_id, self.key


@dataclass(frozen=True)
class Source:
    """The bridge's word about the camera itself.

    Attributes:
        state: `ok` or `failed`.
        reason: why it failed, in one word: `frozen`, `unreachable`, ...
        detail: the same for a person; for `ok` a remark.
        since: when state and reason became so, by our clock.
    """

    state: str
    reason: str | None
    detail: str | None
    since: datetime


@dataclass(frozen=True)
class Seen:
    """What is to be kept of a camera; None where there is nothing new."""

    last_frame_at: datetime | None = None
    source: Source | None = None
