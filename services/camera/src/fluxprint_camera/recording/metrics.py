"""Recording in Prometheus' words."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from fluxprint_camera.recording.models import Moment, TimelapseState
from fluxprint_camera.recording.problems import Trouble


class RecordingMetrics:
    """Of this process.

    Args:
        registry: where they are shown; None: nowhere.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.running = Gauge("camera_recordings_running", "Cameras that are recorded now", registry=registry)
        self.frames = Counter("camera_recording_frames", "Frames kept for timelapses", registry=registry)
        self.pictures = Counter(
            "camera_recording_pictures", "Pictures kept as evidence of prints", ["moment"], registry=registry
        )
        self.lost = Counter(
            "camera_recording_pictures_lost",
            "Pictures of prints that the disk never took",
            ["moment"],
            registry=registry,
        )
        self.timelapses = Counter(
            "camera_timelapses", "Timelapses that came to an end, by how they ended", ["state"], registry=registry
        )
        self.troubles = Counter(
            "camera_recording_troubles", "Frames, pictures and renderings that failed", ["trouble"], registry=registry
        )
        for moment in Moment:  # shown before the first of them
            self.pictures.labels(moment)
            self.lost.labels(moment)
        for state in (TimelapseState.READY, TimelapseState.FAILED, TimelapseState.EMPTY):
            self.timelapses.labels(state)
        for trouble in Trouble:
            self.troubles.labels(trouble)
