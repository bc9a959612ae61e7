"""Organisations as clients see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_common.ids import OrganisationId
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
    """An organisation, and what one is there."""

    organisation: Organisation
    role: MemberRole


class OrganisationCreate(Input):
    """A new organisation, which one owns."""

    name: Annotated[Name, Field(examples=["Analytical Engines"])]


class OrganisationUpdate(Input):
    """What is to change of an organisation."""

    name: Annotated[Name, Field(description="The slug stays as it is.", examples=["Difference Engines"])]
