"""Looks at a JPEG file without unpacking it (ITU-T T.81, annex B)."""

import struct

START = b"\xff\xd8\xff"
END = b"\xff\xd9"

#: Start of frame, of every kind: SOF0 to SOF15 without DHT, JPG and DAC, which lie between them.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers that stand alone, without a length.
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_SCAN = 0xDA


def is_whole(jpeg: bytes) -> bool:
    """Whether the file has its end. Cameras fill up behind it with whatever they like."""
    return jpeg.rfind(END, len(START)) > 0


def size_of(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, or None where the headers do not say."""
    at = 2
    while at + 4 <= len(jpeg):
        if jpeg[at] != 0xFF:
            return None
        marker = jpeg[at + 1]
        if marker == 0xFF or marker in _ALONE:  # filling, or nothing belongs to it
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from("!H", jpeg, at + 2)
        if marker in _FRAMES and at + 9 <= len(jpeg):
            height, width = struct.unpack_from("!HH", jpeg, at + 5)
            return width, height
        if marker == _SCAN or length < 2:
            return None
        at += 2 + length
    return None
