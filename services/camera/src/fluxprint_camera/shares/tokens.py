"""The secret in a share's link: 256 random bits, spelt like every secret that is held for long, and kept as a hash."""

import hashlib
import secrets

from fluxprint_common.opaque import is_well_formed, spell

PREFIX = "fxs"


def new_token() -> str:
    """A random token."""
    return spell(PREFIX, secrets.token_bytes(32))


def claims_to_be(token: str) -> bool:
    """Whether this is to be read as a share's token."""
    return token.startswith(f"{PREFIX}_")


def can_be(token: str) -> bool:
    """Whether this can be one, by its checksum."""
    return is_well_formed(PREFIX, token)


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()
