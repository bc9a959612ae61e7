"""Secrets that clients hold for long: refresh tokens and bridge tokens.

`fxr_` or `fxb_`, 43 characters of base62 for 256 bits, and 6 for their CRC-32: a secret scanner recognises one without
asking us, and a mistyped one never reaches the database. Only the SHA-256 of a token is stored; that is enough for
256 random bits.
"""

import hashlib
import hmac
import secrets
import string
import zlib
from typing import Annotated

from pydantic import Field, SecretStr

REFRESH = "fxr"
BRIDGE = "fxb"

SECRET_BYTES = 32
NONCE_BYTES = 16
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BODY_CHARS = 43
_CHECKSUM_CHARS = 6
TOKEN_CHARS = 4 + _BODY_CHARS + _CHECKSUM_CHARS

OpaqueToken = Annotated[SecretStr, Field(max_length=200)]
"""A token as a request carries it; whether it is one, `is_well_formed` says."""


def new_token(prefix: str) -> str:
    """A random token."""
    return _spell(prefix, secrets.token_bytes(SECRET_BYTES))


def successor_of(token: str, nonce: bytes) -> str:
    """The token that follows `token` in its family.

    Only who holds `token` can compute it, with a nonce that is useless alone: so the successor can be given twice
    although nobody stored it.
    """
    prefix = token.partition("_")[0]
    return _spell(prefix, hmac.digest(token.encode(), b"fluxprint successor" + nonce, "sha256"))


def is_well_formed(prefix: str, token: str) -> bool:
    """Whether this can be a token of that kind at all."""
    head, _, rest = token.partition("_")
    if head != prefix or len(token) != TOKEN_CHARS or not rest.isascii() or not rest.isalnum():
        return False
    return rest[_BODY_CHARS:] == _checksum(rest[:_BODY_CHARS])


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


def _spell(prefix: str, secret: bytes) -> str:
    body = _base62(int.from_bytes(secret), _BODY_CHARS)
    return f"{prefix}_{body}{_checksum(body)}"


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_CHARS)


def _base62(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
