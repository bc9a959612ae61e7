"""How secrets that clients hold for long are spelt, so that a secret scanner and every service know one by looking.

`fxr_`, `fxb_`, `fxk_` ..., 43 characters of base62 for 256 bits, and 6 for their CRC-32: a mistyped one never leaves
the service that received it.
"""

import string
import zlib

API_KEY = "fxk"

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_CHARS = 43
_CHECKSUM_CHARS = 6
PREFIX_CHARS = 3
TOKEN_CHARS = PREFIX_CHARS + 1 + _BODY_CHARS + _CHECKSUM_CHARS


def spell(prefix: str, secret: bytes) -> str:
    """32 bytes as a token."""
    body = _base62(int.from_bytes(secret), _BODY_CHARS)
    return f"{prefix}_{body}{_checksum(body)}"


def is_well_formed(prefix: str, token: str) -> bool:
    """Whether this can be a token of that kind at all."""
    head, _, rest = token.partition("_")
    if head != prefix or len(token) != TOKEN_CHARS or not rest.isascii() or not rest.isalnum():
        return False
    return rest[_BODY_CHARS:] == _checksum(rest[:_BODY_CHARS])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
