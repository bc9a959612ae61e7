"""What the slicer wrote into a G-code file's comments: PrusaSlicer, SuperSlicer, OrcaSlicer, BambuStudio and Cura.

Everything here is a claim of the file, for people to read; nothing in it decides anything about safety.
"""

import base64
import binascii
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from fluxprint_common.schemas import Output
from fluxprint_queue.files.gcode import Excerpt

MAX_THUMBNAILS = 8
MAX_THUMBNAIL_BYTES = 512 * 1024
MAX_THUMBNAIL_PX = 4096
_MAX_TEXT = 100

_GENERATOR = re.compile(
    r"^;[ \t]*(?:generated (?:by|with) )?"
    r"(PrusaSlicer|SuperSlicer|OrcaSlicer|BambuStudio|Cura|Slic3r)(?:_SteamEngine)?[ -]v?(\S+)",
    re.MULTILINE | re.IGNORECASE,
)
_MAX_KEY = 60
_MAX_VALUE = 2000
_DURATION = re.compile(r"(\d{1,9})[ \t]?([dhms])")
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_TEMPERATURE = re.compile(r"^[ \t]*M(104|109|140|190)[ \t]+S(\d{1,6}(?:\.\d{1,6})?)", re.MULTILINE)
_THUMBNAIL_BEGIN = re.compile(r"; thumbnail(?:_(?:JPG|QOI|PNG))? begin (\d{1,4})[x ](\d{1,4}) \d+")
_THUMBNAIL_END = "; thumbnail"
_MAGIC = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"qoif": "image/qoi"}


class Slicing(Output):
    """What the slicer says about a print; null where it says nothing."""

    slicer: str | None = Field(max_length=_MAX_TEXT, examples=["PrusaSlicer"])
    slicer_version: str | None = Field(max_length=_MAX_TEXT, examples=["2.5.0"])
    printer_model: str | None = Field(max_length=_MAX_TEXT)
    estimated_time_s: int | None = Field(ge=0, json_schema_extra={"format": "int32"})
    filament_type: str | None = Field(max_length=_MAX_TEXT, examples=["PLA"])
    filament_length_mm: float | None = Field(ge=0)
    filament_weight_g: float | None = Field(ge=0)
    layer_height_mm: float | None = Field(ge=0)
    nozzle_diameter_mm: float | None = Field(ge=0)
    nozzle_temperature_c: float | None = Field(ge=0)
    bed_temperature_c: float | None = Field(ge=0)


@dataclass(frozen=True)
class Picture:
    """A thumbnail in the file."""

    width_px: int
    height_px: int
    media_type: str
    content: bytes


def read(excerpt: Excerpt) -> Slicing:
    """The slicer's claims. Never fails: what can't be read is null."""
    settings: dict[str, str] = {}
    for part in (excerpt.tail, excerpt.head):  # the head's own words win: Cura repeats settings as JSON at the end
        settings |= dict(_settings(part))
    generator = _GENERATOR.search(excerpt.head) or _GENERATOR.search(excerpt.tail)
    temperatures = {
        code: float(value) for code, value in reversed(_TEMPERATURE.findall(excerpt.head)) if float(value) > 0
    }
    length_mm = _number(_first(settings, "filament used [mm]", "total filament length [mm]"), summed=True)
    if length_mm is None and (metres := _number(_first(settings, "filament used"), summed=True)) is not None:
        length_mm = round(metres * 1000, 3)  # Cura: "Filament used: 1.23m, 0.4m"
    return Slicing(
        slicer=_text(generator[1]) if generator else None,
        slicer_version=_text(generator[2]) if generator else None,
        printer_model=_text(_first(settings, "printer_model", "target_machine.name")),
        estimated_time_s=_duration(settings),
        filament_type=_text((_first(settings, "filament_type") or "").split(";")[0]),
        filament_length_mm=length_mm,
        filament_weight_g=_number(
            _first(settings, "filament used [g]", "total filament used [g]", "total filament weight [g]"), summed=True
        ),
        layer_height_mm=_number(_first(settings, "layer_height", "layer height")),
        nozzle_diameter_mm=_number(_first(settings, "nozzle_diameter")),
        nozzle_temperature_c=temperatures.get("109") or temperatures.get("104"),
        bed_temperature_c=temperatures.get("190") or temperatures.get("140"),
    )


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """`; key = value` and `;KEY:value`, by plain search: what people upload may be made to be slow to match."""
    for line in text.splitlines():
        if not line.startswith(";"):
            continue
        words = line[1 : _MAX_KEY + _MAX_VALUE]
        ends = [end for end in (words.find("="), words.find(":")) if end > 0]
        if ends and min(ends) <= _MAX_KEY:
            yield words[: min(ends)].strip().lower(), words[min(ends) + 1 :].strip()


def pictures(excerpt: Excerpt) -> list[Picture]:
    """The thumbnails whose bytes are what they claim to be."""
    found: dict[tuple[int, int], Picture] = {}
    for width, height, encoded in _encoded_pictures(excerpt.head):
        picture = _picture(width, height, encoded)
        if picture is not None and len(found) < MAX_THUMBNAILS:
            found[width, height] = picture
    return list(found.values())


def _encoded_pictures(text: str) -> Iterator[tuple[int, int, str]]:
    """Width, height and base64 of each thumbnail block, in one pass over the lines."""
    size: tuple[int, int] | None = None
    lines: list[str] = []
    for line in text.splitlines():
        if begin := _THUMBNAIL_BEGIN.match(line):
            size, lines = (int(begin[1]), int(begin[2])), []
        elif size and line.startswith(_THUMBNAIL_END):
            yield *size, "".join(lines)
            size = None
        elif size and line.startswith(";"):
            lines.append(line[1:].strip())
        else:
            size = None


def _picture(width: int, height: int, encoded: str) -> Picture | None:
    if len(encoded) > MAX_THUMBNAIL_BYTES * 4 // 3 + 4:
        return None
    if not (0 < width <= MAX_THUMBNAIL_PX and 0 < height <= MAX_THUMBNAIL_PX):
        return None
    try:
        content = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        return None
    media_type = next((kind for magic, kind in _MAGIC.items() if content.startswith(magic)), None)
    return Picture(width, height, media_type, content) if media_type else None


def _first(settings: dict[str, str], *names: str) -> str | None:
    return next((settings[name] for name in names if settings.get(name)), None)


def _text(value: str | None) -> str | None:
    return value[:_MAX_TEXT] if value else None


def _number(value: str | None, *, summed: bool = False) -> float | None:
    """The first number of a list, or its sum: several extruders write `1.2, 3.4`."""
    numbers = [float(digits) for digits in re.findall(r"\d{1,15}(?:\.\d{1,15})?", value or "")[:20]]
    if not numbers:
        return None
    number = round(sum(numbers) if summed else numbers[0], 6)
    return number if math.isfinite(number) else None


def _duration(settings: dict[str, str]) -> int | None:
    seconds = settings.get("time")
    if seconds and seconds.isdigit() and len(seconds) < 9:
        return int(seconds)
    text = _first(settings, "estimated printing time (normal mode)", "total estimated time", "model printing time")
    parts = _DURATION.findall(text.split(";")[0] if text else "")
    return sum(int(value[:6]) * _SECONDS[unit] for value, unit in parts) if parts else None
