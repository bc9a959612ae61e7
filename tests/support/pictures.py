"""Pictures as cameras give them: a scene with a moving head, a sensor's noise, a clock, or nothing at all."""

import io
import random
import struct

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


def segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack("!H", len(body) + 2) + body


def endless(*, width: int, height: int, scans: int) -> bytes:
    """A grey progressive picture (ITU-T T.81, annex G) in which each scan but the first is a few bytes that say of the
    whole picture: nothing here."""
    blocks = ((width + 7) // 8) * ((height + 7) // 8)
    runs = "".join("0" + format(2**14 - 1, "014b") for _ in range(blocks // (2**15 - 1) + 1))
    nothing = int(runs.ljust((len(runs) + 7) // 8 * 8, "1"), 2).to_bytes((len(runs) + 7) // 8, "big")
    parts = [
        b"\xff\xd8",
        segment(0xDB, b"\0" + bytes([1] * 64)),
        segment(0xC2, struct.pack("!BHHB", 8, height, width, 1) + bytes((1, 0x11, 0))),
        segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00"),
        segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\xe0"),
        segment(0xDA, bytes((1, 1, 0, 0, 0, 0))) + bytes((blocks + 7) // 8),
    ]
    for number in range(scans - 1):
        at = 1 + number % 63
        parts.append(segment(0xDA, bytes((1, 1, 0, at, at, 0))) + nothing.replace(b"\xff", b"\xff\0"))
    return b"".join((*parts, b"\xff\xd9"))
