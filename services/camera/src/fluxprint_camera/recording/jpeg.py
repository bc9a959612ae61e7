"""How large a JPEG picture is, without decoding it."""

import struct

_NO_PAYLOAD = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
MAX_SIDE_PX = 16_384


def size_of(picture: bytes) -> tuple[int, int] | None:
    """Width and height in pixels by the frame header (ITU-T T.81, B.2.2), or None where there is none."""
    place = 2
    while place + 9 <= len(picture):
        if picture[place] != 0xFF:
            return None
        marker = picture[place + 1]
        if marker == 0xFF or marker in _NO_PAYLOAD:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", picture, place + 5)
            return (width, height) if 0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX else None
        place += 2 + int.from_bytes(picture[place + 2 : place + 4], "big")
    return None
