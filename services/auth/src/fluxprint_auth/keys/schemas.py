"""Published keys as clients see them (RFC 7517)."""

from typing import Literal

from pydantic import Field

from fluxprint_common.schemas import Output


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
