"""Pictures of a print's moments on their way to the disk: what it does not take now is kept, and tried again."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from fluxprint_camera.recording.metrics import RecordingMetrics
from fluxprint_camera.recording.models import Moment
from fluxprint_camera.recording.store import Store
from fluxprint_camera.relay.frame import Frame
from fluxprint_common.ids import new_id


@dataclass(frozen=True)
class Kept:
    """A picture of a moment, and the id that it has from the beginning, however late it is written."""

    id: UUID
    moment: Moment
    frame: Frame


class Evidence:
    """Of one recording.

    Attributes:
        written: pictures whose file is there and whose row may not be.
    """

    def __init__(self, store: Store, metrics: RecordingMetrics) -> None:
        self.written: list[Kept] = []
        self._store = store
        self._metrics = metrics
        self._moments: set[str] = set()
        self._owed: deque[Kept] = deque()

    @property
    def owes(self) -> bool:
        """Whether there is something to write."""
        return bool(self._owed)

    def resume(self, moments: Iterable[str]) -> None:
        """These are kept already, by a process before this one."""
        self._moments = set(moments)

    def keep(self, moment: Moment, frames: Sequence[Frame]) -> None:
        """Owe pictures of one moment, unless there are some."""
        if frames and moment not in self._moments:
            self._moments.add(moment)
            self._owed.extend(Kept(new_id(), moment, frame) for frame in frames)

    async def write(self) -> None:
        """Write what is owed. Raises: StoreFailed: the rest is still owed"""
        while self._owed:
            kept = self._owed[0]
            await self._store.add_picture(kept.id, bytes(kept.frame.jpeg))
            self.written.append(self._owed.popleft())
            self._metrics.pictures.labels(kept.moment).inc()

    def give_up(self) -> list[Moment]:
        """Owe nothing any more; the moments of what was not written."""
        lost = [kept.moment for kept in self._owed]
        for moment in lost:
            self._metrics.lost.labels(moment).inc()
        self._owed.clear()
        return lost
