"""Baseline JPEG pictures (ITU-T T.81) of grey 8x8 squares: enough for a numbered test picture."""

import re
import struct
from collections.abc import Sequence

BLOCK = 8
#: Quantiser of the DC coefficient: with 8 a flat block's coefficient is simply its grey level minus 128.
_QUANTISER = 8
_DC_CATEGORIES = 9  # differences of -255..255 have 0 to 8 bits
_DC_CODE_BITS = 4  # every category's code is its number in 4 bits; the all-ones code stays free, as T.81 demands
_FRAME = re.compile(rb"fluxprint frame=(\d+)")

# Digits as 3 x 5 squares, one row of three bits after the other.
_DIGITS = (0o75557, 0o26227, 0o71747, 0o71717, 0o55711, 0o74717, 0o74757, 0o71111, 0o75757, 0o75717)


def numbered_picture(number: int, *, columns: int = 40, rows: int = 30) -> bytes:
    """A picture of 8 * columns x 8 * rows pixels that shows `number` and a bar that moves with it."""
    grid = [[60 + 2 * column for column in range(columns)] for _ in range(rows)]
    for row in range(rows - 4, rows - 1):
        grid[row][number % columns] = 255
    for place, digit in enumerate(f"{number % 1_000_000:06d}"):
        for y in range(5):
            for x in range(3):
                if _DIGITS[int(digit)] >> (14 - 3 * y - x) & 1:
                    for dy in range(2):
                        grid[4 + 2 * y + dy][3 + 6 * place + x] = 240
    return encode(grid, comment=b"fluxprint frame=%d" % number)


def frame_number(jpeg: bytes) -> int | None:
    """The number that `numbered_picture` wrote into a picture's comment."""
    found = _FRAME.search(jpeg[:200])
    return int(found[1]) if found else None


def encode(grid: Sequence[Sequence[int]], *, comment: bytes = b"") -> bytes:
    """A grey picture with one 8x8 block for each level (0..255) in `grid`."""
    height, width = BLOCK * len(grid), BLOCK * len(grid[0])
    lengths = bytearray(16)
    lengths[_DC_CODE_BITS - 1] = _DC_CATEGORIES
    end_of_block = bytearray(16)
    end_of_block[0] = 1  # the only AC symbol, "nothing more in this block", is the single bit 0
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"),
            _segment(0xFE, comment),
            _segment(0xDB, b"\0" + bytes([_QUANTISER]) * 64),
            _segment(0xC0, struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0)),
            _segment(0xC4, b"\0" + lengths + bytes(range(_DC_CATEGORIES))),
            _segment(0xC4, b"\x10" + end_of_block + b"\0"),
            _segment(0xDA, b"\1\1\0\0\x3f\0"),
            _scan(grid),
            b"\xff\xd9",
        )
    )


def _segment(marker: int, payload: bytes | bytearray) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def _scan(grid: Sequence[Sequence[int]]) -> bytes:
    bits: list[str] = []
    before = 0
    for row in grid:
        for level in row:
            value = level - 128
            bits.append(_dc_bits(value - before))
            bits.append("0")
            before = value
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\0")


def _dc_bits(difference: int) -> str:
    """T.81 F.1.2.1: the category's code, then the difference, negative ones less one."""
    category = abs(difference).bit_length()
    code = format(category, f"0{_DC_CODE_BITS}b")
    if category == 0:
        return code
    value = difference if difference > 0 else difference + (1 << category) - 1
    return code + format(value, f"0{category}b")
