"""What a picture is like, from a small grey copy of it: how light, how varied, and how much another one differs."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from fluxprint_camera.relay.unpacking import unpacked

if TYPE_CHECKING:
    from PIL import Image

COLUMNS, ROWS = 64, 48
#: A cell of the small copy has changed when its luma differs by more than this, of 255. A cell is the mean of a hundred
#: and more pixels: a sensor's noise, of two or three, becomes less than one in it.
NOISE = 4


@dataclass(frozen=True, eq=False)
class Look:
    """A picture's small grey copy.

    Attributes:
        light: mean luma plus twice its spread (standard deviation), so that a dark picture with something in it is
            lighter than one with nothing; 0 to 400 or so, of 255.
    """

    small: "Image.Image"
    light: float

    @classmethod
    def of(cls, jpeg: bytes) -> Self:
        """Decode a picture at an eighth of its size where that is enough (JPEG draft mode): a millisecond or two.

        Raises:
            Unreadable
        """
        from PIL import Image, ImageStat  # noqa: PLC0415  (as in `unpacked`)

        with unpacked(jpeg) as image:
            image.draft("L", (2 * COLUMNS, 2 * ROWS))
            small = image.convert("L").resize((COLUMNS, ROWS), Image.Resampling.BOX)
        stat = ImageStat.Stat(small)
        return cls(small, stat.mean[0] + 2 * stat.stddev[0])

    def changed(self, other: "Look") -> float:
        """The share of the picture, 0 to 1, that is another one in `other`."""
        from PIL import ImageChops  # noqa: PLC0415

        difference = ImageChops.difference(self.small, other.small).histogram()
        return sum(difference[NOISE + 1 :]) / (COLUMNS * ROWS)
