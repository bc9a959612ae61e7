"""The detector that runs a model: what it makes of pictures, and which models it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from pydantic import JsonValue

from fluxprint_camera.watching.detectors import DetectorRefused
from fluxprint_camera.watching.onnx import OnnxDetector
from support.onnx_model import INT64, UINT8, brightness

Made = Callable[..., OnnxDetector]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    def make(model: bytes, **options: JsonValue) -> OnnxDetector:
        path = tmp_path / "model.onnx"
        path.write_bytes(model)
        return OnnxDetector({"model": str(path), **options})

    return make


def grey(level: int) -> Image.Image:
    return Image.new("RGB", (64, 48), (level, level, level))


class TestScores:
    @pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 8, 8, 3), ("batch", 3, 8, 16)])
    def test_are_what_the_model_says(self, made: Made, shape: tuple[int | str, ...]) -> None:
        detector = made(brightness(shape), labels=["spaghetti"])
        assert detector.score(grey(51)) == {"spaghetti": pytest.approx(0.2, abs=0.01)}
        assert detector.name == "model.onnx"
        assert len(detector.version) == 16

    def test_follow_the_options(self, made: Made) -> None:
        detector = made(brightness(("n", 3, "h", "w")), width=32, height=16, range="-1..1", activation="sigmoid")
        assert detector.score(grey(255)) == {"failure": pytest.approx(0.731, abs=0.01)}
        detector = made(brightness(), mean=[0.2, 0.2, 0.2], std=[2, 2, 2], activation="sigmoid", channels="BGR")
        assert detector.score(grey(51)) == {"failure": pytest.approx(0.5, abs=0.01)}

    def test_of_colours_are_in_the_order_that_is_said(self, made: Made) -> None:
        red = Image.new("RGB", (8, 8), (255, 0, 0))
        scores = {
            channels: made(brightness(), std=[0.5, 1, 1], channels=channels).score(red)["failure"]
            for channels in ("RGB", "BGR")
        }
        assert scores == {"RGB": pytest.approx(0.667, abs=0.01), "BGR": pytest.approx(0.333, abs=0.01)}


class TestRefuses:
    @pytest.mark.parametrize(
        ("model", "options", "why"),
        [
            (b"no model at all", {}, "is not a model that onnxruntime loads"),
            (brightness((1, 1, 8, 8)), {}, "the 3 colours"),
            (brightness((1, 3, 8, 8, 2)), {}, "it must be [1, 3, height, width]"),
            (brightness((4, 3, 8, 8)), {}, "it must be [1, 3, height, width]"),
            (brightness(element=INT64), {}, "must be float, float16 or uint8"),
            (brightness(element=UINT8), {}, "is not a model that onnxruntime loads"),
            (brightness(inputs=2), {}, "has 2 inputs"),
            (brightness((1, 3, "h", "w")), {}, "say width and height"),
            (brightness((1, 3, 8, 90_000)), {}, "at most 4096"),
            (brightness(), {"labels": ["good", "bad"]}, "says 1 numbers, and there are 2 labels"),
            (brightness(), {"output": "other"}, "has no output other; it has mean0"),
            (brightness(factor_ops=["Neg"]), {}, "not scores from 0 to 1; set activation"),
            (brightness(factor_ops=["Neg", "Log"]), {}, "not scores from 0 to 1"),
            (brightness(), {"failures": ["stringing"]}, "stringing are none of the labels"),
            (brightness(), {"layout": "NCHW"}, "layout: Extra inputs are not permitted"),
        ],
    )
    def test_with_a_message_that_helps(self, made: Made, model: bytes, options: dict[str, JsonValue], why: str) -> None:
        with pytest.raises(DetectorRefused) as refused:
            made(model, **options)
        assert str(refused.value).startswith("CAMERA_DETECTOR_OPTIONS: ")
        assert why in str(refused.value)

    def test_a_model_that_is_not_there(self) -> None:
        with pytest.raises(DetectorRefused, match="cannot be read"):
            OnnxDetector({"model": "/nowhere/model.onnx"})
        with pytest.raises(DetectorRefused, match="model: Field required"):
            OnnxDetector({})
