"""Accounts and the database as administrators see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.administration.status import DatabaseStatus
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import Organisation
from fluxprint_common.ids import UserId
from fluxprint_common.schemas import Name, Output, Seconds, Timestamp

Count = Annotated[int, Field(ge=0, le=2**53, json_schema_extra={"format": "int64"})]


class AdministratedUser(Output):
    """An account."""

    id: UserId
    email: str = Field(max_length=254, json_schema_extra={"format": "email"}, examples=["ada@example.org"])
    name: Annotated[Name, Field(examples=["Ada Lovelace"])]
    is_administrator: bool
    created_at: Timestamp
    email_verified_at: Timestamp | None
    disabled_at: Timestamp | None = Field(description="Since when they can't sign in.")


class Belonging(Output):
    """What somebody is in an organisation."""

    organisation: Organisation
    role: MemberRole


class AdministratedUserDetail(AdministratedUser):
    """An account with what it belongs to."""

    memberships: list[Belonging] = Field(max_length=200, description="At most 200.")
    live_sessions: Count


class SessionsEnded(Output):
    """How many sessions were ended."""

    ended: Count


class Relation(Output):
    """A table with its indexes."""

    name: str = Field(max_length=100, examples=["session"])
    bytes: Count
    rows: Count = Field(description="About: what the last ANALYZE saw.")


class DatabaseState(Output):
    """What the auth service's database is like at this moment."""

    server_version: str = Field(max_length=100, examples=["17.2"])
    schema_revision: str | None = Field(max_length=100, description="The last migration.", examples=["0016"])
    database_bytes: Count
    tables: list[Relation] = Field(max_length=200, description="The auth service's, largest first.")
    connections: Count = Field(description="Of everybody, to this database.")
    max_connections: Count
    oldest_transaction_s: Seconds | None = Field(description="Of the auth service; null where none is open.")
    waiting_mails: Count


def show_user(user: UserRow) -> AdministratedUser:
    """An account as a list shows it."""
    return AdministratedUser.model_validate(user)


def show_detail(
    user: UserRow, memberships: list[tuple[MembershipRow, OrganisationRow]], live_sessions: int
) -> AdministratedUserDetail:
    """An account as it is shown alone."""
    return AdministratedUserDetail(
        **show_user(user).model_dump(),
        memberships=[
            Belonging(organisation=Organisation.model_validate(organisation), role=MemberRole(membership.role))
            for membership, organisation in memberships
        ],
        live_sessions=live_sessions,
    )


def show_status(status: DatabaseStatus) -> DatabaseState:
    """The database as clients see it."""
    return DatabaseState.model_validate(status)
