"""Whether a camera shows something now, and if not, why."""

from dataclasses import dataclass

BRIDGE_OFFLINE = "bridge_offline"
NO_PICTURES = "no_pictures"


@dataclass(frozen=True, slots=True)
class Status:
    """What viewers are told.

    Attributes:
        reason: why there are no pictures: `bridge_offline`, `no_pictures` (the bridge is there and does not say why),
            or the bridge's own word about the camera (`frozen`, `unreachable`, ...); None where there are.
    """

    reason: str | None = None

    @property
    def online(self) -> bool:
        return self.reason is None


ONLINE = Status()
GONE = Status(BRIDGE_OFFLINE)
