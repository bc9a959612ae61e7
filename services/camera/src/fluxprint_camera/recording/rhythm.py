"""Which pictures of a print become frames of its timelapse."""

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.settings import FrameBy, RecordingSettings

#: Heights nearer than that are the same: no slicer makes layers so thin.
SAME_HEIGHT_MM = 0.01


def as_set(settings: RecordingSettings, camera: CameraRow | None) -> RecordingSettings:
    """The installation's settings, with what somebody set for this camera instead; None: it was forgotten."""
    changed: dict[str, object] = {}
    if camera is not None and camera.recording in set(FrameBy):
        changed["timelapse_frame_by"] = FrameBy(camera.recording)
    if camera is not None and camera.recording_interval_s is not None:
        changed["timelapse_interval_s"] = camera.recording_interval_s
    return settings.model_copy(update=changed)


def as_begun(settings: RecordingSettings, timelapse: TimelapseRow, camera: CameraRow | None) -> RecordingSettings:
    """The installation's settings, with how this timelapse was begun instead; as its camera is set, where a version
    began it that did not write that down."""
    if timelapse.frame_by is None:
        return as_set(settings, camera)
    begun = {"timelapse_frame_by": FrameBy(timelapse.frame_by), "timelapse_interval_s": timelapse.interval_s}
    return settings.model_copy(update=begun)


class Rhythm:
    """Says when the next frame is due. Half as often after each `slow_down()`.

    By layer, a frame is due when the nozzle prints at another height than at the last one. A nozzle also rises for a
    moment between two moves, so a height counts when it is told twice in a row. Where no height is told, frames come
    at the interval.

    Args:
        now: seconds, on the clock of whoever asks.
    """

    def __init__(self, settings: RecordingSettings, *, now: float, step: int = 1) -> None:
        self.step = step
        self._by_layer = settings.timelapse_frame_by is FrameBy.LAYER
        self._interval_s = settings.timelapse_interval_s
        self._layer_wait_s = settings.timelapse_layer_wait_s
        self._due_at = now
        self._taken_at = now
        self._told_mm: float | None = None
        self._height_mm: float | None = None
        self._layers = 0

    def tell(self, height_mm: float | None) -> None:
        """Take what the printer says of its height now; None where it says nothing."""
        told, self._told_mm = self._told_mm, height_mm
        if height_mm is None or told is None or not _same(told, height_mm):
            return
        if self._height_mm is None or not _same(self._height_mm, height_mm):
            self._height_mm = height_mm
            self._layers += 1

    def is_due(self, now: float) -> bool:
        """Whether a picture of this moment is to be a frame."""
        if not self._by_layer or (self._told_mm is None and self._height_mm is None):
            return now >= self._due_at
        return self._layers >= self.step or now - self._taken_at >= self._layer_wait_s

    def took(self, now: float) -> None:
        """A frame was taken."""
        self._layers = 0
        self._taken_at = now
        interval_s = self._interval_s * self.step
        self._due_at = max(self._due_at + interval_s, now + interval_s / 2)

    def slow_down(self) -> None:
        """Every other frame was dropped: go on as if they had never been taken."""
        self.step *= 2


def _same(one_mm: float, other_mm: float) -> bool:
    return abs(one_mm - other_mm) < SAME_HEIGHT_MM
