"""HTTP of organisations."""

from typing import Annotated

from fastapi import APIRouter

from fluxprint_auth.accounts.credentials import check_choice
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.dependencies import CurrentClient, PasswordHashing, Person
from fluxprint_auth.organisations import repository, service
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import CurrentOrganisation, Member, MemberCreate, Organisation
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject

router = APIRouter(prefix="/organisations/current", tags=["organisations"])


@router.get("", summary="Get my organisation", responses=openapi.problems(401, 403))
async def get_current_organisation(principal: Person, session: Reading) -> CurrentOrganisation:
    """The organisation that the access token is for, and the caller's role in it."""
    organisation = await service.get(session, principal.organisation_id)
    return CurrentOrganisation(organisation=Organisation.model_validate(organisation), role=MemberRole(principal.role))


@router.get("/members", summary="List members", responses=openapi.problems(401, 403))
async def list_members(
    principal: Annotated[Principal, require(Permission.MEMBERS_READ)], session: Reading, paging: Paging
) -> Page[Member]:
    """The people in the organisation, oldest members first."""
    rows = await repository.members(
        session, principal.organisation_id, after_id=paging.after_id, limit=paging.limit + 1
    )
    return page(rows, paging, id_of=lambda row: row[0].id, show=lambda row: _show(*row))


@router.post(
    "/members",
    status_code=201,
    summary="Add a member",
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("members", "limit_members")],
)
async def create_member(
    body: MemberCreate,
    principal: Annotated[Principal, require(Permission.MEMBERS_MANAGE)],
    session: Session,
    passwords: PasswordHashing,
    client: CurrentClient,
) -> Member:
    """Make an account for somebody in this organisation, with a first password and a role below the caller's."""
    service.check_role(principal, body.role)
    password = body.password.get_secret_value()
    check_choice(password, email=body.email, name=body.name)
    password_hash = await passwords.hash(password)
    membership, user = await service.add_member(
        session,
        principal,
        email=body.email,
        name=body.name,
        role=body.role,
        password_hash=password_hash,
        client=client,
    )
    return _show(membership, user)


def _show(membership: MembershipRow, user: UserRow) -> Member:
    return Member(
        user_id=user.id,
        email=user.email,
        name=user.name,
        role=MemberRole(membership.role),
        created_at=membership.created_at,
    )
