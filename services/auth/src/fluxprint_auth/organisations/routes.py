"""HTTP of organisations."""

from typing import Annotated

from fastapi import APIRouter

from fluxprint_auth.dependencies import CurrentClient, CurrentSettings, Oneself, Person
from fluxprint_auth.organisations import repository, service
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import (
    CurrentOrganisation,
    Organisation,
    OrganisationCreate,
    OrganisationUpdate,
)
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject

router = APIRouter(prefix="/organisations", tags=["organisations"])


@router.get("", summary="List my organisations", responses=openapi.problems(401, 403))
async def list_organisations(principal: Oneself, session: Reading, paging: Paging) -> Page[CurrentOrganisation]:
    """The organisations that the caller is a member of, and their role in each, oldest membership first."""
    rows = await repository.of_member(session, principal.subject, after_id=paging.after_id, limit=paging.limit + 1)
    return page(
        rows,
        paging,
        id_of=lambda row: row[0].id,
        show=lambda row: CurrentOrganisation(
            organisation=Organisation.model_validate(row[1]), role=MemberRole(row[0].role)
        ),
    )


@router.post(
    "",
    status_code=201,
    summary="Create an organisation",
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("organisations", "limit_organisations")],
)
async def create_organisation(
    body: OrganisationCreate, principal: Oneself, session: Session, settings: CurrentSettings, client: CurrentClient
) -> CurrentOrganisation:
    """Make an organisation of one's own. The access token stays with the one that it is for: switch to the new one."""
    organisation = await service.create(
        session, principal, name=body.name, at_most=settings.organisations_per_person, client=client
    )
    return CurrentOrganisation(organisation=Organisation.model_validate(organisation), role=MemberRole.OWNER)


@router.get("/current", summary="Get my organisation", responses=openapi.problems(401, 403))
async def get_current_organisation(principal: Person, session: Reading) -> CurrentOrganisation:
    """The organisation that the access token is for, and the caller's role in it."""
    organisation = await service.get(session, principal.organisation_id)
    return CurrentOrganisation(organisation=Organisation.model_validate(organisation), role=MemberRole(principal.role))


@router.patch("/current", summary="Change my organisation", responses=openapi.problems(401, 403))
async def update_current_organisation(
    body: OrganisationUpdate,
    principal: Annotated[Principal, require(Permission.ORGANISATION_MANAGE)],
    session: Session,
    client: CurrentClient,
) -> Organisation:
    """Give the organisation another name. The slug stays as it is, so that addresses made from it go on."""
    return Organisation.model_validate(await service.rename(session, principal, name=body.name, client=client))
