"""HTTP of an organisation's members."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Response

from fluxprint_auth.accounts.strength import Owner
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    Oneself,
    PasswordHashing,
    check_fresh,
    fresh,
)
from fluxprint_auth.members import repository, service
from fluxprint_auth.members.problems import InviteInstead
from fluxprint_auth.members.schemas import Member, MemberCreate, MemberUpdate, OwnershipTransfer, show_member
from fluxprint_auth.verification import service as verification
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.ids import UserId
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject

router = APIRouter(prefix="/organisations/current", tags=["organisations"])

Manager = Annotated[Principal, require(Permission.MEMBERS_MANAGE)]


@router.get("/members", summary="List members", responses=openapi.problems(401, 403))
async def list_members(
    principal: Annotated[Principal, require(Permission.MEMBERS_READ)], session: Reading, paging: Paging
) -> Page[Member]:
    """The people in the organisation, oldest members first."""
    rows = await repository.after(session, principal.organisation_id, after_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row[0].id, show=lambda row: show_member(*row))


@router.post(
    "/members",
    status_code=201,
    summary="Add a member",
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("members", "limit_members")],
)
async def create_member(
    body: MemberCreate,
    principal: Annotated[Principal, fresh(Permission.MEMBERS_MANAGE)],
    session: Session,
    passwords: PasswordHashing,
    settings: CurrentSettings,
    mailer: CurrentMailer,
    client: CurrentClient,
) -> Member:
    """Make an account for somebody in this organisation, with a first password and a role below the caller's.

    Where mail is sent, they get a link to verify their address. Where addresses must be verified it is 403
    `invite_instead`: an account on somebody's address is made by whoever reads its mail.
    """
    if settings.requires_verified_email:
        raise InviteInstead
    service.check_role(principal, body.role)
    password = body.password.get_secret_value()
    await passwords.refuse_guessable(password, Owner(email=body.email, name=body.name))
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
    await verification.ask(session, mailer, user, lifetime=timedelta(seconds=settings.email_link_s))
    return show_member(membership, user)


@router.patch("/members/{user_id}", summary="Change a member's role", responses=openapi.problems(401, 403, 404, 409))
async def update_member(
    user_id: UserId,
    body: MemberUpdate,
    principal: Manager,
    session: Session,
    settings: CurrentSettings,
    client: CurrentClient,
) -> Member:
    """Give a member with a role below the caller's another one below it; owners may also make and unmake owners.

    Making or unmaking an owner needs a recent proof of identity. The last owner stays one.
    """
    decision = service.Decision(principal=principal, client=client, prove=lambda: check_fresh(principal, settings))
    membership, user = await service.change_role(session, decision, user_id, body.role)
    return show_member(membership, user)


@router.delete(
    "/members/{user_id}", status_code=204, summary="Remove a member", responses=openapi.problems(401, 403, 404, 409)
)
async def remove_member(
    user_id: UserId,
    principal: Manager,
    session: Session,
    settings: CurrentSettings,
    client: CurrentClient,
) -> Response:
    """End the membership of somebody with a role below the caller's; owners may also remove owners.

    Their sessions and API keys of this organisation end at once. Removing an owner needs a recent proof of identity.
    """
    decision = service.Decision(principal=principal, client=client, prove=lambda: check_fresh(principal, settings))
    await service.remove(session, decision, user_id)
    return Response(status_code=204)


@router.post("/leave", status_code=204, summary="Leave my organisation", responses=openapi.problems(401, 403, 404, 409))
async def leave_organisation(principal: Oneself, session: Session, client: CurrentClient) -> Response:
    """End one's own membership, with one's sessions and API keys of this organisation. The last owner can't leave."""
    await service.leave(session, principal, client=client)
    return Response(status_code=204)


@router.post("/transfer", summary="Hand over ownership", responses=openapi.problems(401, 403, 404))
async def transfer_ownership(
    body: OwnershipTransfer,
    principal: Annotated[Principal, fresh(Permission.ORGANISATION_MANAGE)],
    session: Session,
    client: CurrentClient,
) -> Member:
    """Make a member the owner in the caller's place, who stays as a manager. Needs a recent proof of identity."""
    membership, user = await service.transfer(session, principal, body.user_id, client=client)
    return show_member(membership, user)
