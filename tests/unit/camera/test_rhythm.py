"""When a timelapse gets its next frame."""

from collections.abc import Iterable

import pytest

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.recording.models import TimelapseRow
from fluxprint_camera.recording.rhythm import Rhythm, as_begun
from fluxprint_camera.recording.settings import RecordingSettings


def taken(rhythm: Rhythm, told: Iterable[float | None], *, every_s: float = 1.0) -> list[int]:
    """At which of these moments a frame is taken, with what the printer tells of its height at each."""
    frames = []
    for moment, height_mm in enumerate(told):
        rhythm.tell(height_mm)
        if rhythm.is_due(moment * every_s):
            rhythm.took(moment * every_s)
            frames.append(moment)
    return frames


def rhythm(**settings: object) -> Rhythm:
    return Rhythm(RecordingSettings.model_validate(settings), now=0.0)


class TestByInterval:
    def test_takes_one_in_each(self) -> None:
        by_interval = rhythm(timelapse_frame_by="interval", timelapse_interval_s=3)
        assert taken(by_interval, [None] * 10) == [0, 3, 6, 9]

    def test_goes_on_at_half_the_pace(self) -> None:
        by_interval = rhythm(timelapse_frame_by="interval", timelapse_interval_s=3)
        by_interval.slow_down()
        assert taken(by_interval, [None] * 13) == [0, 6, 12]


class TestByLayer:
    def test_takes_one_of_each_layer(self) -> None:
        heights = [None, 0.2, 0.2, 0.2, 0.4, 0.4, 0.4, 0.6, 0.6]
        assert taken(rhythm(), heights) == [0, 2, 5, 8]

    def test_is_not_misled_by_hops(self) -> None:
        heights = [0.2, 0.2, 0.8, 0.2, 0.8, 0.2, 0.2, 0.4, 0.4]
        assert taken(rhythm(), [None, *heights]) == [0, 2, 9]

    def test_takes_every_other_layer_at_half_the_pace(self) -> None:
        slower = rhythm()
        slower.slow_down()
        heights = [layer / 5 for layer in range(1, 9) for _ in range(2)]
        assert taken(slower, [None, *heights]) == [0, 4, 8, 12, 16]

    def test_does_not_wait_for_a_layer_for_ever(self) -> None:
        assert taken(rhythm(timelapse_layer_wait_s=5), [0.2] * 12)[-2:] == [6, 11]

    def test_goes_by_the_interval_where_no_height_is_told(self) -> None:
        assert taken(rhythm(timelapse_interval_s=4), [None] * 9) == [0, 4, 8]


class TestAsBegun:
    @pytest.mark.parametrize(
        ("begun", "how"),
        [
            ({"frame_by": "layer", "interval_s": 7.0}, ("layer", 7)),
            ({"frame_by": "interval", "interval_s": 5.0}, ("interval", 5)),
            ({}, ("interval", 30)),  # by a version that did not write it down
        ],
    )
    def test_is_how_a_timelapse_goes_on(self, begun: dict[str, object], how: tuple[str, float]) -> None:
        camera = CameraRow(recording="interval", recording_interval_s=30.0)
        settings = as_begun(RecordingSettings(), TimelapseRow(**begun), camera)
        assert (settings.timelapse_frame_by, settings.timelapse_interval_s) == how
