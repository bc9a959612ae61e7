"""Tells in time that a camera gives no pictures, although something is still being tried."""

import asyncio
from collections.abc import Callable
from typing import Self

from fluxprint_bridge.camera.faults import SourceFailed

Tell = Callable[[SourceFailed], None]

#: Without a picture for so long, what went wrong is told. It is a little later than a frozen stream is given up, so
#: that what stands in for it can show a picture first: else each try of that stream would look like a failure.
TOLD_AFTER_S = 4.75


class Patience:
    """Patience with a camera that is tried in more than one way, for as long as the block runs; it counts from the
    beginning or the last picture.

    Args:
        tell: called with the first failure when patience is over; None where nobody waits for it.
    """

    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self.renew()
        return self

    def __exit__(self, *_: object) -> None:
        self._cancel()

    def renew(self) -> None:
        """A picture came."""
        self._cancel()
        self._over_at = asyncio.get_running_loop().time() + TOLD_AFTER_S

    def failed(self, error: SourceFailed) -> None:
        """One way failed, and another one is about to be tried."""
        if self._timer is None and self._tell is not None:
            self._timer = asyncio.get_running_loop().call_at(self._over_at, self._tell, error)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
