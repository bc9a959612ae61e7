"""Providers and identities as clients see them."""

from typing import Annotated
from uuid import UUID

from pydantic import Field, SecretStr

from fluxprint_auth.sessions.carry import Carried
from fluxprint_common.ids import Prefixed
from fluxprint_common.schemas import Input, Output, Timestamp

IdentityId = Annotated[UUID, Prefixed("identity")]
ProviderName = Annotated[str, Field(max_length=20, pattern="^[a-z]+$", examples=["google"])]
ReturnTo = Annotated[
    str,
    Field(
        max_length=1000,
        description="Where the browser comes back to, with `code` or `error` added: on the public address of this "
        "server, or on an origin that may call it.",
        examples=["https://print.example.org/signed-in"],
    ),
]
CodeChallenge = Annotated[
    str,
    Field(
        min_length=43,
        max_length=43,
        pattern="^[A-Za-z0-9_-]{43}$",
        description="The base64url SHA-256 of a verifier that the client makes and keeps (RFC 7636, S256).",
        examples=["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
    ),
]
CodeVerifier = Annotated[
    SecretStr,
    Field(
        min_length=43,
        max_length=128,
        description="The verifier that `code_challenge` was made from.",
        examples=["dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"],
    ),
]
Code = Annotated[SecretStr, Field(min_length=1, max_length=100, description="From the address that it came back to.")]


class Provider(Output):
    """Where else one can sign in."""

    name: ProviderName
    title: str = Field(max_length=50, description="For people.", examples=["Google"])


class ProviderList(Output):
    """Every provider that is configured here."""

    providers: list[Provider] = Field(max_length=10)


class ProviderSignIn(Carried):
    """The end of signing in at a provider."""

    code: Code
    code_verifier: CodeVerifier


class LinkRequest(Input):
    """The beginning of linking an identity."""

    return_to: ReturnTo
    code_challenge: CodeChallenge


class LinkStart(Output):
    """Where the browser goes to link an identity."""

    start_url: str = Field(max_length=500, description="Open it in the browser, within a minute; it works once.")


class IdentityLink(Input):
    """The end of linking an identity."""

    code: Code
    code_verifier: CodeVerifier


class Identity(Output):
    """What one is at a provider, and signs in with."""

    id: IdentityId
    provider: ProviderName
    email: str | None = Field(max_length=254, description="As the provider said last.", examples=["ada@example.org"])
    created_at: Timestamp = Field(description="Since when it is linked.")
    last_used_at: Timestamp | None = Field(description="When somebody last signed in with it.")
