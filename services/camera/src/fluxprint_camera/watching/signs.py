"""What one camera's pictures say: that they stand still, or are black."""

from collections.abc import Mapping
from dataclasses import dataclass

from fluxprint_camera.watching.hysteresis import Band, Crossing, Hysteresis
from fluxprint_camera.watching.kinds import Kind
from fluxprint_camera.watching.picture import Look
from fluxprint_camera.watching.settings import WatchSettings


@dataclass(frozen=True)
class Sign:
    """Trouble that began or is over, with the measure that crossed its threshold."""

    kind: Kind
    crossing: Crossing
    value: float
    threshold: float


class PictureSigns:
    """Looks at a camera's pictures one after the other.

    While something prints, a picture in which nothing moves but a clock is frozen: heads and beds move. With nothing
    printing a still picture is what one expects, and only the very same bytes again and again are none of a sensor's.

    Args:
        open_kinds: the trouble that is known already.
    """

    def __init__(self, settings: WatchSettings, *, printing: bool, open_kinds: frozenset[Kind]) -> None:
        self.printing = printing
        frozen = settings.frozen_band
        if not printing:
            frozen = Band(0.0, 0.5, settings.watch_frozen_idle_after_s, 0, low_is_bad=True)
        self._followed: Mapping[Kind, Hysteresis] = {
            Kind.FROZEN: Hysteresis(frozen, entered=Kind.FROZEN in open_kinds),
            Kind.BLACK: Hysteresis(settings.black_band, entered=Kind.BLACK in open_kinds),
        }
        self._last: Look | None = None
        self._last_etag = ""

    def take(self, look: Look, etag: str, now: float) -> list[Sign]:
        """What the next picture says; `etag` is the same for the same bytes."""
        signs = [self._follow(Kind.BLACK, look.light, now)]
        frozen = self._followed[Kind.FROZEN]
        if self._followed[Kind.BLACK].band.is_bad(look.light):
            frozen.forget()  # darkness does not move; it has a name of its own
        elif self._last is not None:
            changed = look.changed(self._last) if self.printing else float(etag != self._last_etag)
            signs.append(self._follow(Kind.FROZEN, changed, now))
        self._last, self._last_etag = look, etag
        return [sign for sign in signs if sign is not None]

    def pause(self) -> None:
        """No pictures came for a while: what was half way to a sign begins anew."""
        self._last = None
        for followed in self._followed.values():
            followed.forget()

    def know(self, open_kinds: frozenset[Kind]) -> None:
        """Take exactly this trouble as known."""
        for kind, followed in self._followed.items():
            followed.know(kind in open_kinds)

    def revert(self, kind: Kind, *, entered: bool) -> None:
        """What was found could not be kept, or is off: take it as it is."""
        self._followed[kind].entered = entered

    def _follow(self, kind: Kind, value: float, now: float) -> Sign | None:
        followed = self._followed[kind]
        crossing = followed.update(value, now)
        if crossing is None:
            return None
        band = followed.band
        return Sign(kind, crossing, value, band.enter if crossing is Crossing.ENTERED else band.leave)
