"""HTTP of invitations: an organisation's, and accepting one."""

from typing import Annotated

from fastapi import APIRouter, Response

from fluxprint_auth.accounts.schemas import Registered, User
from fluxprint_auth.accounts.strength import Owner
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    Limiter,
    LoginSessions,
    Oneself,
    PasswordHashing,
    Pool,
)
from fluxprint_auth.ids import InvitationId
from fluxprint_auth.invitations import repository, service
from fluxprint_auth.invitations.schemas import (
    Invitation,
    InvitationCreate,
    InvitationPreview,
    InvitationRegistration,
    InvitationToken,
)
from fluxprint_auth.invitations.service import Inviter
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import CurrentOrganisation, Organisation
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(tags=["organisations"])

OF_ORGANISATION = "/organisations/current/invitations"
Manager = Annotated[Principal, require(Permission.MEMBERS_MANAGE)]


@router.get(OF_ORGANISATION, summary="List invitations", responses=openapi.problems(401, 403))
async def list_invitations(principal: Manager, session: Reading, paging: Paging) -> Page[Invitation]:
    """Who was asked into the organisation and has not come yet, oldest invitations first."""
    rows = await repository.after(session, principal.organisation_id, after_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=Invitation.model_validate)


@router.post(
    OF_ORGANISATION,
    status_code=201,
    summary="Invite somebody",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("invitations", "limit_invitations")],
)
async def create_invitation(
    body: InvitationCreate,
    principal: Manager,
    session: Session,
    settings: CurrentSettings,
    mailer: CurrentMailer,
    limiter: Limiter,
    client: CurrentClient,
) -> Invitation:
    """Send a link with which somebody with this address can join, with a role below the caller's.

    It takes the place of an invitation that the address has already. The answer is the same whether or not the
    address has an account.
    """
    await limiter.hit(settings.limit_invitations_address, "invitations_address", service.address_key(body.email))
    by = Inviter(principal, client, mailer, settings)
    return Invitation.model_validate(await service.invite(session, by, email=body.email, role=MemberRole(body.role)))


@router.post(
    f"{OF_ORGANISATION}/{{invitation_id}}/resend",
    status_code=201,
    summary="Send an invitation again",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("invitations", "limit_invitations")],
)
async def resend_invitation(
    invitation_id: InvitationId,
    principal: Manager,
    session: Session,
    pool: Pool,
    settings: CurrentSettings,
    mailer: CurrentMailer,
    limiter: Limiter,
    client: CurrentClient,
) -> Invitation:
    """Send a new link to the same address, and begin its time anew. The one that was sent before is void."""
    async with pool.reading() as reading:
        email = await service.address_of(reading, principal, invitation_id)
    await limiter.hit(settings.limit_invitations_address, "invitations_address", service.address_key(email))
    by = Inviter(principal, client, mailer, settings)
    return Invitation.model_validate(await service.resend(session, by, invitation_id))


@router.delete(
    f"{OF_ORGANISATION}/{{invitation_id}}",
    status_code=204,
    summary="Revoke an invitation",
    responses=openapi.problems(401, 403, 404),
)
async def revoke_invitation(
    invitation_id: InvitationId, principal: Manager, session: Session, client: CurrentClient
) -> Response:
    """Take an invitation back: its link is void."""
    await service.revoke(session, principal, invitation_id, client=client)
    return Response(status_code=204)


@router.post(
    "/invitations/preview",
    summary="Look at an invitation",
    responses=openapi.problems(404),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("invitation_use", "limit_invitation_use")],
)
async def preview_invitation(body: InvitationToken, session: Reading) -> InvitationPreview:
    """What the link that somebody holds invites to."""
    invitation, organisation = await service.look_at(session, body.token.get_secret_value())
    return InvitationPreview(
        organisation_name=organisation.name,
        email=invitation.email,
        role=MemberRole(invitation.role),
        expires_at=invitation.expires_at,
    )


@router.post(
    "/invitations/accept",
    summary="Accept an invitation",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("invitation_accept", "limit_invitation_use")],
)
async def accept_invitation(
    body: InvitationToken, principal: Oneself, session: Session, client: CurrentClient
) -> CurrentOrganisation:
    """Join with the account that is signed in, which must be the one of the invited address.

    That address is verified by it: the link was sent there. Switch to the organisation to work in it.
    """
    organisation, membership = await service.accept(session, principal, body.token.get_secret_value(), client=client)
    return CurrentOrganisation(organisation=Organisation.model_validate(organisation), role=MemberRole(membership.role))


@router.post(
    "/invitations/register",
    status_code=201,
    summary="Register with an invitation",
    responses=openapi.problems(404, 409),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("invitation_use", "limit_invitation_use")],
)
async def register_with_invitation(
    body: InvitationRegistration,
    session: Session,
    pool: Pool,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Registered:
    """Make an account for the invited address, join with it, and sign in. Works where registration is switched off."""
    token = body.token.get_secret_value()
    async with pool.reading() as reading:  # what is no invitation costs no hash
        invitation, inviting = await service.look_at(reading, token)
    password = body.password.get_secret_value()
    owner = Owner(email=invitation.email, name=body.name, organisation=inviting.name)
    await passwords.refuse_guessable(password, owner)
    password_hash = await passwords.hash(password)
    user, organisation, membership = await service.register(
        session, token, name=body.name, password_hash=password_hash, client=client
    )
    pair = await sessions.open(session, membership, client=client)
    return Registered(
        user=User.model_validate(user),
        organisation=Organisation.model_validate(organisation),
        tokens=transport.hand_over(pair, body.carry),
    )


@router.post(
    "/invitations/join",
    summary="Join without an organisation",
    responses=openapi.problems(404, 409),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("invitation_use", "limit_invitation_use")],
)
async def join_with_invitation(body: InvitationToken, session: Session, client: CurrentClient) -> CurrentOrganisation:
    """Join with the account of the invited address when it is in no organisation, and so can't sign in before this.

    It gives no session: sign in then. Who is in an organisation signs in and accepts.
    """
    organisation, membership = await service.join(session, body.token.get_secret_value(), client=client)
    return CurrentOrganisation(organisation=Organisation.model_validate(organisation), role=MemberRole(membership.role))
