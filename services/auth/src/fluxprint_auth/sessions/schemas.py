"""Sessions as clients see them."""

from typing import Annotated, Literal

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, GivenPassword
from fluxprint_auth.factors.schemas import AnyCode
from fluxprint_auth.keys.access_tokens import AccessToken
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.sessions.carry import Carried
from fluxprint_auth.sessions.service import TokenPair
from fluxprint_common.schemas import Output, Seconds

_REFRESH_TOKEN_EXAMPLE = "fxr_3Kq9TzW1mXb7Yc5Rd2Vf8Ng4Hj6Lp0Sa1Ue3Io5Qw7Et9Kx2Mz4A"  # noqa: S105


class Login(Carried):
    """Who wants to sign in."""

    email: Email
    password: GivenPassword
    code: AnyCode | None = Field(None, description="Of the second factor, for clients that ask for it at once.")


class RefreshRequest(Carried):
    """The refresh token that a session has now; null where it is in the cookie, and stays in one."""

    refresh_token: Annotated[OpaqueToken | None, Field(examples=[_REFRESH_TOKEN_EXAMPLE])] = None


class Access(Output):
    """An access token. Send it as `Authorization: Bearer <token>`, and keep it secret."""

    access_token: str = Field(max_length=4096, description="A JWT, for some minutes.")
    token_type: Literal["Bearer"]
    expires_in_s: Seconds = Field(examples=[900])


class Tokens(Access):
    """A pair of tokens. Send the access token as `Authorization: Bearer <token>`; keep both secret."""

    refresh_token: str | None = Field(
        max_length=200,
        description="For one use at `/auth/refresh`, which answers with the next one. Null: it is in the cookie.",
        examples=[_REFRESH_TOKEN_EXAMPLE],
    )
    refresh_expires_in_s: Seconds = Field(examples=[604800])
    csrf_token: str | None = Field(
        max_length=100,
        description="With a cookie: what `/auth/refresh` and `/auth/logout` want as `X-CSRF-Token`, as long as the "
        "session lasts; `/auth/csrf-token` shows it again. Null: none is needed.",
    )


class CsrfToken(Output):
    """What proves that a request with the cookie comes from a page of ours."""

    csrf_token: str = Field(max_length=100, description="To be sent as `X-CSRF-Token`.")


def show_access(access: AccessToken) -> Access:
    """An access token as clients see it."""
    return Access(
        access_token=access.token,
        token_type="Bearer",  # noqa: S106
        expires_in_s=access.expires_in_s,
    )


def show_tokens(pair: TokenPair, *, csrf_token: str | None = None) -> Tokens:
    """A pair as clients see it. Routes hand it over by `transport`, which knows what carries the refresh token.

    Args:
        csrf_token: where the refresh token goes into a cookie.
    """
    return Tokens(
        access_token=pair.access.token,
        token_type="Bearer",  # noqa: S106
        expires_in_s=pair.access.expires_in_s,
        refresh_token=pair.refresh_token if csrf_token is None else None,
        refresh_expires_in_s=pair.refresh_expires_in_s,
        csrf_token=csrf_token,
    )
