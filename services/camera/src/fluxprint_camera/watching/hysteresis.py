"""A measure that crosses a threshold for a while: on, and off again past another threshold."""

from dataclasses import dataclass
from enum import StrEnum


class Crossing(StrEnum):
    ENTERED = "entered"
    LEFT = "left"


@dataclass(frozen=True)
class Band:
    """Two thresholds and how long a measure must be past them.

    What lies between them is neither good nor bad: it starts nothing and ends nothing.

    Attributes:
        enter_at_least: so many measures in a row must be bad as well, where they come slowly.
    """

    enter: float
    leave: float
    enter_after_s: float
    leave_after_s: float
    low_is_bad: bool = False
    enter_at_least: int = 1

    def is_bad(self, value: float) -> bool:
        return value <= self.enter if self.low_is_bad else value >= self.enter

    def is_good(self, value: float) -> bool:
        return value > self.leave if self.low_is_bad else value < self.leave


class Hysteresis:
    """Follows one measure.

    Args:
        entered: whether it begins past the threshold, as one that was so before a restart.
    """

    def __init__(self, band: Band, *, entered: bool = False) -> None:
        self.band = band
        self.entered = entered
        self._since: float | None = None
        self._count = 0

    def update(self, value: float, now: float) -> Crossing | None:
        """Take in the measure of this moment (seconds of any clock that only grows); whether that was a crossing."""
        towards = self.band.is_good(value) if self.entered else self.band.is_bad(value)
        if not towards:
            self.forget()
            return None
        if self._since is None:
            self._since = now
        self._count += 1
        band = self.band
        after_s, at_least = (band.leave_after_s, 1) if self.entered else (band.enter_after_s, band.enter_at_least)
        if now - self._since < after_s or self._count < at_least:
            return None
        self.forget()
        self.entered = not self.entered
        return Crossing.ENTERED if self.entered else Crossing.LEFT

    def forget(self) -> None:
        """What was half way to a crossing begins anew: nothing was measured for a while."""
        self._since, self._count = None, 0

    def know(self, entered: bool) -> None:
        """It is known from elsewhere on which side it is."""
        if entered != self.entered:
            self.entered = entered
            self.forget()
