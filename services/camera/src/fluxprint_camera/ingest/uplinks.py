"""How many connections a bridge has. It needs one; while its line is bad, some that are dead linger beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

AT_ONCE = 4

Cut = Callable[[], None]


class Uplinks:
    """Of this process."""

    def __init__(self) -> None:
        self._of: dict[UUID, list[Cut]] = {}

    @contextmanager
    def joined(self, bridge_id: UUID, cut: Cut) -> Iterator[None]:
        """A connection for as long as the block runs; the oldest beyond `AT_ONCE` of a bridge is cut."""
        of = self._of.setdefault(bridge_id, [])
        of.append(cut)
        if len(of) > AT_ONCE:
            of.pop(0)()
        try:
            yield
        finally:
            if cut in of:
                of.remove(cut)
            if not of and self._of.get(bridge_id) is of:
                del self._of[bridge_id]
