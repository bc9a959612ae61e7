"""The relay in Prometheus' words."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fluxprint_camera.relay.hub import Hub


class RelayCollector(Collector):
    """Reads the hub's plain counts when asked: counting in the frame's way must cost next to nothing."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        totals = self._hub.totals
        online, viewers = self._hub.count()
        yield GaugeMetricFamily("cameras_online", "Cameras that send pictures", value=online)
        yield GaugeMetricFamily("camera_viewers", "Streams that are watched", value=viewers)
        yield CounterMetricFamily("camera_frames_received", "Frames from bridges", value=totals.received)
        yield CounterMetricFamily("camera_frames_sent", "Frames handed to viewers", value=totals.sent)
        yield CounterMetricFamily(
            "camera_frames_dropped", "Frames that a slow viewer missed for a newer one", value=totals.dropped
        )
