"""Members of organisations as clients see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, NewPassword
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_common.ids import UserId
from fluxprint_common.schemas import Input, Name, Output, Timestamp


class MemberCreate(Input):
    """Somebody new in the organisation."""

    email: Email
    name: Annotated[Name, Field(examples=["Grace Hopper"])]
    role: Annotated[MemberRole, Field(description="Below your own.", examples=["editor"])]
    password: Annotated[NewPassword, Field(description="To begin with. Tell it to nobody but them.")]


class MemberUpdate(Input):
    """What a member is from now on."""

    role: Annotated[MemberRole, Field(description="Below your own; owners may make owners.", examples=["editor"])]


class OwnershipTransfer(Input):
    """Who owns the organisation from now on."""

    user_id: Annotated[UserId, Field(description="A member.")]


class Member(Output):
    """A person in an organisation."""

    user_id: UserId
    email: str = Field(max_length=254, json_schema_extra={"format": "email"}, examples=["grace@example.org"])
    name: Annotated[Name, Field(examples=["Grace Hopper"])]
    role: MemberRole
    created_at: Timestamp = Field(description="Since when they are a member.")


def show_member(membership: MembershipRow, user: UserRow) -> Member:
    """A member as clients see them."""
    return Member(
        user_id=user.id,
        email=user.email,
        name=user.name,
        role=MemberRole(membership.role),
        created_at=membership.created_at,
    )
