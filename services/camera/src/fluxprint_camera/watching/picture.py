"""What a picture is like, from a small grey copy of it: how light, how varied, and how much another one differs."""

import io
from dataclasses import dataclass
from typing import Self

from PIL import Image, ImageChops, ImageStat

COLUMNS, ROWS = 64, 48
#: A cell of the small copy has changed when its luma differs by more than this, of 255. A cell is the mean of a hundred
#: and more pixels: a sensor's noise, of two or three, becomes less than one in it.
NOISE = 4
MAX_PIXELS = 50_000_000


class NotAPicture(Exception):
    """The bytes can't be decoded, or are far too large a picture."""


@dataclass(frozen=True, eq=False)
class Look:
    """A picture's small grey copy.

    Attributes:
        light: mean luma plus twice its spread (standard deviation), so that a dark picture with something in it is
            lighter than one with nothing; 0 to 400 or so, of 255.
    """

    small: Image.Image
    light: float

    @classmethod
    def of(cls, jpeg: bytes) -> Self:
        """Decode a picture at an eighth of its size where that is enough (JPEG draft mode): a millisecond or two.

        Raises:
            NotAPicture
        """
        try:
            with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise NotAPicture(f"{image.width} x {image.height} pixels")
                image.draft("L", (2 * COLUMNS, 2 * ROWS))
                small = image.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise NotAPicture(str(error)) from error
        stat = ImageStat.Stat(small)
        return cls(small, stat.mean[0] + 2 * stat.stddev[0])

    def changed(self, other: "Look") -> float:
        """The share of the picture, 0 to 1, that is another one in `other`."""
        difference = ImageChops.difference(self.small, other.small).histogram()
        return sum(difference[NOISE + 1 :]) / (COLUMNS * ROWS)
