"""A detector that runs an ONNX model: docs/watching.md says what a model must look like.

Needs the extra `fluxprint-camera[onnx]`.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from fluxprint_camera.watching.detectors import DetectorRefused

try:
    import onnxruntime
except ImportError as error:
    raise DetectorRefused("CAMERA_DETECTOR: onnx needs onnxruntime; install fluxprint-camera[onnx]") from error

Numbers = npt.NDArray[np.float32]
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
#: By what a pixel's 0 to 255 is multiplied, and what is added then.
_RANGES = {
    "0..1": (np.float32(1 / 255), np.float32(0)),
    "-1..1": (np.float32(1 / 127.5), np.float32(-1)),
    "0..255": (np.float32(1), np.float32(0)),
}
_DIMENSIONS = 4
_MAX_SIDE = 4096
Side = Annotated[int, Field(ge=8, le=_MAX_SIDE)]


class OnnxOptions(BaseModel):
    """`CAMERA_DETECTOR_OPTIONS` of the detector `onnx`."""

    model_config = ConfigDict(extra="forbid")

    model: Path
    labels: list[Annotated[str, Field(min_length=1, max_length=100)]] = Field(["failure"], min_length=1, max_length=100)
    failures: list[str] | None = Field(None, description="Those of the labels that are failures; default: all")
    output: str | None = Field(None, description="The output's name, where there are several")
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    channels: Literal["RGB", "BGR"] = "RGB"
    range: Literal["0..1", "-1..1", "0..255"] = "0..1"
    mean: list[float] | None = Field(None, min_length=3, max_length=3, description="Taken off, in the range")
    std: list[Annotated[float, Field(gt=0)]] | None = Field(None, min_length=3, max_length=3, description="Divided by")
    width: Side | None = Field(None, description="Where the model takes any")
    height: Side | None = None


class OnnxDetector:
    """Scores pictures with a model.

    Raises:
        DetectorRefused: the options or the model will not do; the message says why.
    """

    def __init__(self, options: Mapping[str, JsonValue]) -> None:
        self._options = _options(options)
        self.name = self._options.model.name
        try:
            content = self._options.model.read_bytes()
        except OSError as error:
            raise _refused(f"the model cannot be read: {error}") from None
        self.version = hashlib.sha256(content).hexdigest()[:16]
        quiet = onnxruntime.SessionOptions()
        quiet.intra_op_num_threads = quiet.inter_op_num_threads = 1  # the machine has more to do
        quiet.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(content, quiet, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise _refused(f"{self.name} is not a model that onnxruntime loads: {str(error)[:500]}") from None
        self._input, self._dtype, self._is_nchw, self._size = self._examine_input()
        self._output = self._examine_output()
        self._mean: Numbers = np.array(self._options.mean or 0, np.float32)
        self._std: Numbers = np.array(self._options.std or 1, np.float32)
        self._try_out()

    def score(self, image: Image.Image) -> Mapping[str, float]:
        """The failures among the model's labels."""
        scores = dict(zip(self._options.labels, self._run(image).tolist(), strict=True))
        return {label: scores[label] for label in self._options.failures or self._options.labels}

    def _examine_input(self) -> tuple[str, npt.DTypeLike, bool, tuple[int, int]]:
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise _refused(f"the model has {len(inputs)} inputs; it must have one, the picture")
        found = inputs[0]
        if found.type not in _TYPES:
            raise _refused(f"the input is a {found.type}; it must be float, float16 or uint8")
        shape = [size if isinstance(size, int) and size > 0 else None for size in found.shape]
        if len(shape) != _DIMENSIONS or shape[0] not in {1, None}:
            raise _refused(f"the input has the shape {found.shape}; it must be [1, 3, height, width] or [1, h, w, 3]")
        if shape[1] == 3:
            is_nchw, (height, width) = True, shape[2:]
        elif shape[3] == 3:
            is_nchw, (height, width) = False, shape[1:3]
        else:
            raise _refused(f"the input has the shape {found.shape}; one of its sides must be the 3 colours")
        size = (width or self._options.width, height or self._options.height)
        if size[0] is None or size[1] is None:
            raise _refused("the model takes pictures of any size; say width and height in the options")
        if max(size[0], size[1]) > _MAX_SIDE:
            raise _refused(f"the model wants pictures of {size[0]} x {size[1]}; at most {_MAX_SIDE} a side")
        return found.name, _TYPES[found.type], is_nchw, (size[0], size[1])

    def _examine_output(self) -> str:
        names = [output.name for output in self._session.get_outputs()]
        if self._options.output is not None:
            if self._options.output not in names:
                raise _refused(f"the model has no output {self._options.output}; it has {', '.join(names)}")
            return self._options.output
        if len(names) != 1:
            raise _refused(f"the model has the outputs {', '.join(names)}; say which one in the options")
        return str(names[0])

    def _try_out(self) -> None:
        """What its description does not tell shows when it runs."""
        try:
            scores = self._run(Image.new("RGB", self._size, "grey"))
        except DetectorRefused:
            raise
        except Exception as error:
            raise _refused(f"the model does not run: {str(error)[:500]}") from None
        if not np.isfinite(scores).all() or (scores < 0).any() or (scores > 1).any():
            raise _refused(
                f"the model says {scores.tolist()[:5]}, not scores from 0 to 1; set activation in the options"
            )

    def _run(self, image: Image.Image) -> Numbers:
        (raw,) = self._session.run([self._output], {self._input: self._tensor(image)})
        scores: Numbers = np.asarray(raw, np.float32).reshape(-1)
        if len(scores) != len(self._options.labels):
            raise _refused(f"the model says {len(scores)} numbers, and there are {len(self._options.labels)} labels")
        match self._options.activation:
            case "sigmoid":
                scores = np.float32(1) / (np.float32(1) + np.exp(-scores))
            case "softmax":
                scores = np.exp(scores - scores.max())
                scores /= scores.sum()
            case "none":
                pass
        return scores

    def _tensor(self, image: Image.Image) -> npt.NDArray[np.generic]:
        pixels: Numbers = np.asarray(image.resize(self._size, Image.Resampling.BILINEAR), np.float32)
        if self._options.channels == "BGR":
            pixels = np.flip(pixels, axis=2)
        factor, offset = _RANGES[self._options.range]
        pixels = (pixels * factor + offset - self._mean) / self._std
        if self._is_nchw:
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels[np.newaxis]).astype(self._dtype)


def _options(options: Mapping[str, JsonValue]) -> OnnxOptions:
    try:
        found = OnnxOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise _refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if unknown := set(found.failures or ()) - set(found.labels):
        raise _refused(f"failures: {', '.join(sorted(unknown))} are none of the labels")
    return found


def _refused(why: str) -> DetectorRefused:
    return DetectorRefused(f"CAMERA_DETECTOR_OPTIONS: {why}")
