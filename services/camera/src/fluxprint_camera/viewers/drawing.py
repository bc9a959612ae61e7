"""The drawing of the pictures that this service makes, with Pillow: imported by who draws, in a thread."""

from io import BytesIO

from PIL import ExifTags, Image, ImageDraw, ImageFont

from fluxprint_camera.relay.unpacking import unpacked

_QUALITY = 80
_LAST_ORIENTATION = 8  # of Exif
_SIZE = (640, 360)
_BACKGROUND, _TITLE_COLOUR, _TEXT_COLOUR = (32, 34, 38), (235, 235, 235), (160, 164, 170)


def narrow(jpeg: memoryview, width: int) -> bytes:
    """A picture, not wider than `width` pixels. Raises: Unreadable"""
    with unpacked(jpeg) as image:
        if image.width <= width:
            return bytes(jpeg)
        size = width, max(1, round(image.height * width / image.width))
        turned = image.getexif().get(ExifTags.Base.Orientation)
        image.draft(None, size)  # unpacks an eighth of it where that is enough
        out = BytesIO()
        small = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        small.save(out, "JPEG", quality=_QUALITY, exif=_turned(turned))
        return out.getvalue()


def _turned(orientation: object) -> Image.Exif:
    """How a picture is to be turned, and nothing else of what a camera wrote: it may be anything."""
    exif = Image.Exif()
    if isinstance(orientation, int) and 1 < orientation <= _LAST_ORIENTATION:
        exif[ExifTags.Base.Orientation] = orientation
    return exif


def write(text: str) -> bytes:
    """A picture that says this."""
    image = Image.new("RGB", _SIZE, _BACKGROUND)
    draw = ImageDraw.Draw(image)
    middle = _SIZE[0] / 2
    draw.text((middle, 150), "No picture", _TITLE_COLOUR, ImageFont.load_default(36), anchor="mm")
    draw.text((middle, 205), text, _TEXT_COLOUR, ImageFont.load_default(20), anchor="mm")
    out = BytesIO()
    image.save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
