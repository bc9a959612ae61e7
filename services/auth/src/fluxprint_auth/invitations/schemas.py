"""Invitations as clients see them."""

from typing import Annotated, Literal

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, NewPassword
from fluxprint_auth.accounts.schemas import PersonName
from fluxprint_auth.ids import InvitationId
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.sessions.carry import Carried
from fluxprint_common.ids import UserId
from fluxprint_common.schemas import Input, Name, Output, Timestamp

InvitedRole = Literal[MemberRole.MANAGER, MemberRole.EDITOR, MemberRole.VIEWER, MemberRole.CLIENT]

_TOKEN_EXAMPLE = "fxi_3Kq9TzW1mXb7Yc5Rd2Vf8Ng4Hj6Lp0Sa1Ue3Io5Qw7Et9Kx2Mz4A"  # noqa: S105


class InvitationCreate(Input):
    """Who is asked in, and as what."""

    email: Email
    role: Annotated[InvitedRole, Field(description="Below your own.", examples=["editor"])]


class InvitationToken(Input):
    """What the link in the mail holds."""

    token: Annotated[OpaqueToken, Field(examples=[_TOKEN_EXAMPLE])]


class InvitationRegistration(Carried):
    """An account for the invited address."""

    token: Annotated[OpaqueToken, Field(examples=[_TOKEN_EXAMPLE])]
    name: PersonName
    password: NewPassword


class Invitation(Output):
    """Somebody was asked in, and has not come yet."""

    id: InvitationId
    email: str = Field(max_length=254, json_schema_extra={"format": "email"}, examples=["grace@example.org"])
    role: MemberRole
    invited_by: UserId
    created_at: Timestamp
    expires_at: Timestamp = Field(description="One that has expired can be sent again.")


class InvitationPreview(Output):
    """What one is asked into."""

    organisation_name: Annotated[Name, Field(examples=["Analytical Engines"])]
    email: str = Field(max_length=254, json_schema_extra={"format": "email"}, examples=["grace@example.org"])
    role: MemberRole
    expires_at: Timestamp
