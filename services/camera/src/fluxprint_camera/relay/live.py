"""What is known about a camera at this moment."""

from dataclasses import dataclass
from datetime import datetime

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.status import GONE, Status


@dataclass(frozen=True)
class Live:
    """What the relay knows about a camera now.

    Attributes:
        connected: whether a bridge has it, here or in another process; its camera may be off.
        frame: the newest picture; None also where a picture is there, in another process.
        last_frame_at: when that came, here or there.
    """

    online: bool = False
    frame: Frame | None = None
    viewers: int = 0
    fps: float = 0.0
    status: Status = GONE
    connected: bool = False
    last_frame_at: datetime | None = None
