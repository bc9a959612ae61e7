"""Organisations as clients see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, NewPassword
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_common.ids import OrganisationId, UserId
from fluxprint_common.schemas import Input, Name, Output, Timestamp


class Organisation(Output):
    """Who owns printers, files and jobs."""

    id: OrganisationId
    name: Annotated[Name, Field(examples=["Analytical Engines"])]
    slug: str = Field(
        max_length=60, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="Unique.", examples=["analytical-engines"]
    )
    created_at: Timestamp


class CurrentOrganisation(Output):
    """The organisation of the access token, and what one is there."""

    organisation: Organisation
    role: MemberRole


class MemberCreate(Input):
    """Somebody new in the organisation."""

    email: Email
    name: Annotated[Name, Field(examples=["Grace Hopper"])]
    role: Annotated[MemberRole, Field(description="Below your own.", examples=["editor"])]
    password: Annotated[NewPassword, Field(description="To begin with. Tell it to nobody but them.")]


class Member(Output):
    """A person in an organisation."""

    user_id: UserId
    email: str = Field(max_length=254, json_schema_extra={"format": "email"}, examples=["grace@example.org"])
    name: Annotated[Name, Field(examples=["Grace Hopper"])]
    role: MemberRole
    created_at: Timestamp = Field(description="Since when they are a member.")
