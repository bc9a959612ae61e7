"""Published keys as clients see them (RFC 7517)."""

from typing import Literal

from pydantic import Field

from fluxprint_auth.keys.models import SigningKeyRow
from fluxprint_auth.keys.service import Signing
from fluxprint_common.schemas import Input, Output, Timestamp


class JsonWebKey(Output):
    """A public key."""

    kty: Literal["EC"]
    crv: Literal["P-256"]
    use: Literal["sig"]
    alg: Literal["ES256"]
    kid: str = Field(max_length=100, examples=["7Bt2cJ3hLyQ6bQn1hG4l9G0dXWqk1yJ3mQmQv5b8x0E"])
    x: str = Field(max_length=100, examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])
    y: str = Field(max_length=100, examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])


class JsonWebKeySet(Output):
    """The keys that access tokens are signed with."""

    keys: list[JsonWebKey] = Field(max_length=10)


class SigningKeyRotation(Input):
    """How to change to a new key."""

    at_once: bool = Field(
        False, description="True: the other keys are known to somebody; nobody believes them any more from now on."
    )


class KeptSigningKey(Output):
    """A signing key that is kept in the database; its private half is never shown."""

    kid: str = Field(max_length=100, examples=["7Bt2cJ3hLyQ6bQn1hG4l9G0dXWqk1yJ3mQmQv5b8x0E"])
    state: Literal["next", "signing", "previous", "withdrawn"] = Field(
        description="`next` will sign, `previous` signed; both are published. Nobody believes a `withdrawn` one."
    )
    created_at: Timestamp
    signs_from: Timestamp
    published_until: Timestamp | None = Field(description="Null: until another key follows.")


def show_kept(row: SigningKeyRow, signing: Signing) -> KeptSigningKey:
    """A stored key as administrators see it."""
    if row.published_until is not None and row.published_until <= signing.at:
        state: Literal["next", "signing", "previous", "withdrawn"] = "withdrawn"
    elif row.signs_from > signing.at:
        state = "next"
    else:
        state = "signing" if row.kid == signing.kid else "previous"
    return KeptSigningKey(
        kid=row.kid,
        state=state,
        created_at=row.created_at,
        signs_from=row.signs_from,
        published_until=row.published_until,
    )
