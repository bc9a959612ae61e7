"""Whose the printers are whose cameras are connected: one that was deleted or moved has its camera let go."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from fluxprint_camera.ingest.lane import Lane
from fluxprint_camera.ingest.uplink import Uplink
from fluxprint_common.prints import MAX_PRINTERS


class Owners:
    """Of the uplinks of this process.

    Args:
        end: ends what is open of cameras, here and in the other replicas.
    """

    def __init__(self, end: Callable[[Iterable[UUID]], None]) -> None:
        self._end = end
        self._uplinks: set[Uplink] = set()
        self._asked: list[tuple[Lane, UUID]] = []
        self._last = UUID(int=0)

    @contextmanager
    def watching(self, uplink: Uplink) -> Iterator[None]:
        """Look after an uplink's printers for as long as the block runs."""
        self._uplinks.add(uplink)
        try:
            yield
        finally:
            self._uplinks.discard(uplink)

    def held(self) -> list[UUID]:
        """The printers to ask for now; where there are more than one question takes, in turn."""
        lanes = [(lane, uplink.bridge_id) for uplink in self._uplinks for lane in uplink.lanes]
        held = sorted({lane.printer_id for lane, _bridge_id in lanes})
        start = bisect_right(held, self._last)
        some = (held[start:] + held[:start])[:MAX_PRINTERS]
        self._last = some[-1] if some else self._last
        among = set(some)
        # Of a camera that is opened while the answer is on its way, the answer may be older than the opening.
        self._asked = [(lane, bridge_id) for lane, bridge_id in lanes if lane.printer_id in among]
        return some

    def told(self, bridges: Mapping[UUID, UUID]) -> None:
        """Let go what is not the bridge's any more. A deleted printer does not come back: who watches it is ended."""
        lost = [lane for lane, bridge_id in self._asked if bridges.get(lane.printer_id) != bridge_id]
        self._asked = []
        for lane in lost:
            lane.lose_printer()
        if gone := {lane.camera_id for lane in lost if lane.printer_id not in bridges}:
            self._end(gone)
