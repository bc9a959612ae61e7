"""Sessions as clients see them."""

from typing import Annotated, Literal

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, GivenPassword
from fluxprint_auth.factors.schemas import AnyCode
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.sessions.service import TokenPair
from fluxprint_common.schemas import Input, Output, Seconds

_REFRESH_TOKEN_EXAMPLE = "fxr_3Kq9TzW1mXb7Yc5Rd2Vf8Ng4Hj6Lp0Sa1Ue3Io5Qw7Et9Kx2Mz4A"  # noqa: S105


class Login(Input):
    """Who wants to sign in."""

    email: Email
    password: GivenPassword
    code: AnyCode | None = Field(None, description="Of the second factor, for clients that ask for it at once.")


class RefreshRequest(Input):
    """The refresh token that a session has now."""

    refresh_token: Annotated[OpaqueToken, Field(examples=[_REFRESH_TOKEN_EXAMPLE])]


class Tokens(Output):
    """A pair of tokens. Send the access token as `Authorization: Bearer <token>`; keep both secret."""

    access_token: str = Field(max_length=4096, description="A JWT, for some minutes.")
    token_type: Literal["Bearer"]
    expires_in_s: Seconds = Field(examples=[900])
    refresh_token: str = Field(
        max_length=200,
        description="For one use at `/auth/refresh`, which answers with the next one.",
        examples=[_REFRESH_TOKEN_EXAMPLE],
    )
    refresh_expires_in_s: Seconds = Field(examples=[604800])


def show_tokens(pair: TokenPair) -> Tokens:
    """A pair as clients see it."""
    return Tokens(
        access_token=pair.access.token,
        token_type="Bearer",  # noqa: S106
        expires_in_s=pair.access.expires_in_s,
        refresh_token=pair.refresh_token,
        refresh_expires_in_s=pair.refresh_expires_in_s,
    )
