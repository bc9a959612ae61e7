"""Unpacking pictures, which come from outside: a small file may claim to be a huge picture, or be endless work."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: Pixels of a picture that is worth unpacking.
MAX_PIXELS = 50_000_000
#: Of one that is unpacked as a whole before any of it is there, in up to six bytes of memory a pixel.
MAX_PIXELS_IN_SCANS = 15_000_000
#: A scan of next to no bytes is a walk over the whole picture. A progressive picture has about ten of them.
MAX_SCANS = 64
_SCAN = b"\xff\xda"  # start of scan (ITU-T T.81, B.1.1.3): nowhere in what is compressed

#: As Pillow refuses files; the last four where Exif says nonsense.
_REFUSED = (OSError, ValueError, SyntaxError, struct.error, LookupError, TypeError, OverflowError)


class Unreadable(Exception):
    """The bytes are no picture, or one that is not worth unpacking."""


@contextmanager
def unpacked(jpeg: bytes | memoryview) -> Iterator["Image.Image"]:
    """A picture, not unpacked yet.

    Raises:
        Unreadable: also from the block, where that unpacks it.
    """
    from PIL import Image  # noqa: PLC0415  (4 MB, which a relay that nothing prints beside does without)

    data = bytes(jpeg)
    scans = data.count(_SCAN)
    if scans > MAX_SCANS:
        raise Unreadable(f"{scans} scans")
    try:
        with Image.open(BytesIO(data), formats=["JPEG"]) as image:
            pixels = image.width * image.height
            at_once = scans > 1 or "progressive" in image.info
            if pixels > (MAX_PIXELS_IN_SCANS if at_once else MAX_PIXELS):
                raise Unreadable(f"{image.width} x {image.height} pixels")
            yield image
    except (*_REFUSED, Image.DecompressionBombError) as error:
        raise Unreadable(str(error)) from error
