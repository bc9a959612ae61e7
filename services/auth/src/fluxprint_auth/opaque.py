"""Secrets that clients hold for long: refresh tokens, bridge tokens, API keys; `fluxprint_common.opaque` spells them.

Only the SHA-256 of a token is stored; that is enough for 256 random bits.
"""

import hashlib
import hmac
import secrets
from typing import Annotated

from pydantic import Field, SecretStr

from fluxprint_common.opaque import API_KEY, TOKEN_CHARS, is_well_formed, spell

__all__ = ["API_KEY", "TOKEN_CHARS", "is_well_formed"]

REFRESH = "fxr"
BRIDGE = "fxb"
CHALLENGE = "fxc"  # of a sign-in that waits for its second factor
LINK = "fxl"
PAIRING = "fxp"  # of a bridge that waits for a person to confirm it
DEVICE = "fxd"
INVITATION = "fxi"

SECRET_BYTES = 32
NONCE_BYTES = 16

OpaqueToken = Annotated[SecretStr, Field(max_length=200)]
"""A token as a request carries it; whether it is one, `is_well_formed` says."""


def new_token(prefix: str) -> str:
    """A random token."""
    return spell(prefix, secrets.token_bytes(SECRET_BYTES))


def successor_of(token: str, nonce: bytes) -> str:
    """The token that follows `token` in its family.

    Only who holds `token` can compute it, with a nonce that is useless alone: so the successor can be given twice
    although nobody stored it.
    """
    prefix = token.partition("_")[0]
    return spell(prefix, hmac.digest(token.encode(), b"fluxprint successor" + nonce, "sha256"))


def derived(prefix: str, token: str, nonce: bytes) -> str:
    """A token of another kind that whoever holds `token` can be given again; `successor_of` says why."""
    return spell(prefix, hmac.digest(token.encode(), b"fluxprint " + prefix.encode() + nonce, "sha256"))


def digest(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()
