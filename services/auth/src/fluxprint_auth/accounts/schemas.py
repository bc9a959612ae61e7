"""Accounts as clients see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, NewPassword
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import Organisation
from fluxprint_auth.sessions.carry import Carried
from fluxprint_auth.sessions.schemas import Tokens
from fluxprint_common.ids import UserId
from fluxprint_common.schemas import Input, Name, Output, Timestamp

PersonName = Annotated[Name, Field(examples=["Ada Lovelace"])]
OrganisationName = Annotated[Name, Field(examples=["Analytical Engines"])]


class Registration(Carried):
    """A new account and the organisation that it owns."""

    email: Email
    password: NewPassword
    name: PersonName
    organisation_name: OrganisationName


class User(Output):
    """A person."""

    id: UserId
    email: str = Field(max_length=254, json_schema_extra={"format": "email"}, examples=["ada@example.org"])
    name: PersonName
    is_administrator: bool = Field(description="Whether this person looks after the whole installation.")
    created_at: Timestamp


class MeUpdate(Input):
    """What a person says of themselves."""

    name: PersonName


class Registered(Output):
    """The new account, signed in."""

    user: User
    organisation: Organisation
    tokens: Tokens


class Me(Output):
    """Who the access token speaks for."""

    user: User
    organisation: Organisation
    role: MemberRole
