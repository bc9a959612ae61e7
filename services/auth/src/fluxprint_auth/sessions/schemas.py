"""Sessions as clients see them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, GivenPassword
from fluxprint_auth.factors.schemas import AnyCode
from fluxprint_auth.keys.access_tokens import AccessToken
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.sessions.carry import Carried
from fluxprint_auth.sessions.models import SessionRow
from fluxprint_auth.sessions.service import TokenPair
from fluxprint_common.ids import OrganisationId, PrinterId, SessionId, show
from fluxprint_common.permissions import Permission, Role, Via
from fluxprint_common.principal import Principal
from fluxprint_common.schemas import Input, Output, Seconds, Timestamp

_REFRESH_TOKEN_EXAMPLE = "fxr_3Kq9TzW1mXb7Yc5Rd2Vf8Ng4Hj6Lp0Sa1Ue3Io5Qw7Et9Kx2Mz4A"  # noqa: S105


class Login(Carried):
    """Who wants to sign in."""

    email: Email
    password: GivenPassword
    device_token: OpaqueToken | None = Field(None, description="What a login before gave; a cookie does by itself.")
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
    device_token: str | None = Field(
        max_length=200,
        description="After signing in: keep it, and send it with later logins, so that strangers who guess at the "
        "account don't lock this device out. It allows nothing. Null: it is in a cookie, or the same as before.",
        examples=["fxd_8Lr0UaX2nYc9Zd4Se3Wg6Oh7Ij5Kq1Tb0Vf2Jp6Rx8Fu9Ly3NA5C"],
    )


class CsrfToken(Output):
    """What proves that a request with the cookie comes from a page of ours."""

    csrf_token: str = Field(max_length=100, description="To be sent as `X-CSRF-Token`.")


class DeviceSession(Output):
    """Somewhere that a person is signed in."""

    id: SessionId
    organisation_id: OrganisationId
    device: str | None = Field(
        max_length=100, description="What it said it is.", examples=["Firefox on Windows", "curl"]
    )
    address: str | None = Field(max_length=64, description="Where it was last refreshed from.", examples=["192.0.2.7"])
    created_at: Timestamp
    last_used_at: Timestamp = Field(description="When it was last refreshed, which happens every few minutes.")
    expires_at: Timestamp = Field(description="The latest end, however often it is refreshed.")
    authenticated_at: Timestamp = Field(description="When the person last proved who they are.")
    second_factor: bool = Field(description="Whether a second factor was part of that.")
    current: bool = Field(description="Whether it is the one that asks.")


class LogoutAll(Input):
    """Which sessions are to be ended."""

    keep_current: bool = Field(False, description="Stay signed in here.")


class SessionsEnded(Output):
    """What was ended."""

    ended: int = Field(ge=0, json_schema_extra={"format": "int32"}, description="So many sessions.")


class OrganisationSwitch(Input):
    """Where to go on."""

    organisation_id: OrganisationId


class TokenInfo(Output):
    """What an access token is, and what it allows."""

    subject: str = Field(max_length=60, description="The user, or the bridge.")
    via: Via = Field(description="How its holder came by it.")
    organisation_id: OrganisationId
    role: Role
    permissions: list[Permission] = Field(max_length=100)
    printer_ids: list[PrinterId] | None = Field(
        max_length=1000, description="The only printers that it is good for; null: all that the role may see."
    )
    issued_at: Timestamp
    expires_at: Timestamp
    authenticated_at: Timestamp | None = Field(
        description="When the person last proved who they are; null where nobody did."
    )
    session: DeviceSession | None = Field(description="The session that it belongs to; null for machines.")


def show_session(row: SessionRow, *, current_id: UUID) -> DeviceSession:
    """A session as its person sees it."""
    return DeviceSession(
        id=row.id,
        organisation_id=row.organisation_id,
        device=row.device,
        address=row.address,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        authenticated_at=row.authenticated_at,
        second_factor=row.second_factor,
        current=row.id == current_id,
    )


def show_token(principal: Principal, row: SessionRow | None) -> TokenInfo:
    """A token as its holder sees it."""
    kind = "bridge" if principal.role is Role.BRIDGE else "user"
    return TokenInfo(
        subject=show(kind, principal.subject),
        via=principal.via,
        organisation_id=principal.organisation_id,
        role=principal.role,
        permissions=sorted(principal.permissions),
        printer_ids=None if principal.printers is None else sorted(principal.printers),
        issued_at=principal.issued_at,
        expires_at=principal.expires_at,
        authenticated_at=principal.authenticated_at,
        session=show_session(row, current_id=row.id) if row else None,
    )


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
        device_token=pair.device_token if csrf_token is None else None,
    )
