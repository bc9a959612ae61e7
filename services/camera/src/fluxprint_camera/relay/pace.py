"""Not more frames per second than somebody asked for."""


class Pace:
    """Says which frames of a faster stream make up a slower one.

    Args:
        max_fps: frames per second; infinite for whoever takes what comes.
        now: seconds, on the clock of whoever asks.
    """

    __slots__ = ("_due", "max_fps")

    def __init__(self, *, max_fps: float, now: float) -> None:
        self.max_fps = max_fps
        self._due = now

    def admits(self, now: float) -> bool:
        """Whether a frame that comes now is to be taken."""
        if now < self._due:
            return False
        interval = 1 / self.max_fps
        self._due = max(self._due + interval, now + interval / 2)  # frames come with jitter: keep the average
        return True
