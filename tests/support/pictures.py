"""Pictures as cameras give them: a scene with a moving head, a sensor's noise, a clock, or nothing at all."""

import io
import random

from PIL import Image, ImageDraw

SIZE = (640, 480)
#: The size of the picture that says why there is none.
PLACARD = (640, 360)
_NOISE = random.Random(7)


def jpeg_of(image: Image.Image, *, quality: int = 80) -> bytes:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return data.getvalue()


def scene(
    *, head_x: int = 100, clock: str = "", noise: int = 0, light: float = 1.0, size: tuple[int, int] = SIZE
) -> bytes:
    """A printer: a bed, a frame, and a head at `head_x`. `noise` is the sensor's, `light` the room's, of 1."""
    image = Image.new("RGB", SIZE, (90, 90, 95))
    draw = ImageDraw.Draw(image)
    draw.rectangle((60, 380, 580, 420), fill=(40, 40, 45))
    draw.rectangle((40, 60, 60, 420), fill=(150, 150, 150))
    draw.rectangle((head_x, 120, head_x + 70, 200), fill=(220, 120, 30))
    if clock:
        draw.text((8, 460), clock, fill=(255, 255, 255))
    if noise:
        grain = Image.effect_noise(SIZE, noise).convert("RGB")
        image = Image.blend(image, grain, 0.1)
    if light < 1:
        image = image.point(lambda value: value * light)
    return jpeg_of(image if size == SIZE else image.resize(size))


def black(*, noise: bool = False) -> bytes:
    """What a camera sees in the dark: nothing, or a sensor that is turned up as far as it goes."""
    image = Image.new("RGB", SIZE, (2, 2, 2))
    if noise:
        for _ in range(2000):
            at = (_NOISE.randrange(SIZE[0]), _NOISE.randrange(SIZE[1]))
            image.putpixel(at, (40, 40, 40))
    return jpeg_of(image)


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a real JPEG."""
    with Image.open(io.BytesIO(picture)) as image:
        image.load()
        return image.size


def photograph(width: int, height: int) -> bytes:
    """A real JPEG."""
    return jpeg_of(Image.radial_gradient("L").resize((width, height)), quality=75)
