"""Watching in Prometheus' words."""

from prometheus_client import CollectorRegistry, Counter

from fluxprint_camera.watching.kinds import Kind


class WatchMetrics:
    """Of this process.

    Args:
        registry: where they are shown; None: nowhere.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.pictures = Counter("camera_watch_pictures", "Pictures that were looked at", registry=registry)
        self.scored = Counter(
            "camera_detector_pictures", "Pictures that the detector was given", ["outcome"], registry=registry
        )
        self.decisions = Counter("camera_decisions", "Trouble that was found and kept", ["kind"], registry=registry)
        for outcome in ("scored", "failed"):  # shown before the first of them
            self.scored.labels(outcome)
        for kind in Kind:
            self.decisions.labels(kind)
