"""Rules of invitations.

An invitation is for one address, and only who holds the link that was sent there can accept it: the link proves the
address, so that an account gets it verified by accepting. It is not enough by itself: the account must be the one of
that address, or a forwarded mail would let in somebody whom nobody invited.

It is worth what its inviter may give at the moment of accepting: whoever was demoted, removed or disabled meanwhile
invites nobody any more.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.invitations import repository
from fluxprint_auth.invitations.models import InvitationRow
from fluxprint_auth.invitations.problems import (
    InvitationForAnother,
    InvitationInvalid,
    SignInToAccept,
    TooManyInvitations,
)
from fluxprint_auth.mail import service as mail
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.members.problems import AlreadyMember, RoleNotBelowYours
from fluxprint_auth.members.service import deciding_role
from fluxprint_auth.organisations import repository as organisations
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.organisations.roles import MemberRole, may_give
from fluxprint_auth.organisations.settings import OrganisationSettings
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record, record_by
from fluxprint_common.ids import show
from fluxprint_common.permissions import ROLE_PERMISSIONS, Permission, Role
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound

PAGE = "invitation"


@dataclass(frozen=True)
class Inviter:
    """Who invites, and what it takes."""

    principal: Principal
    client: Client
    mailer: Mailer
    settings: OrganisationSettings


def address_key(email: str) -> str:
    """What mails to an address are counted by, whoever has them sent."""
    return hashlib.sha256(email.encode()).hexdigest()


async def address_of(session: AsyncSession, principal: Principal, invitation_id: UUID) -> str:
    """Whom an open invitation of the caller's organisation went to.

    Raises:
        NotFound
    """
    invitation = await repository.get_open(session, invitation_id, organisation_id=principal.organisation_id)
    if invitation is None:
        raise NotFound
    return invitation.email


async def invite(session: AsyncSession, by: Inviter, *, email: str, role: MemberRole) -> InvitationRow:
    """Ask somebody into the caller's organisation by mail. It takes the place of an open invitation of that address.

    The answer and its time don't depend on whether the address has an account.

    Raises:
        MailDisabled, RoleNotBelowYours, AlreadyMember, TooManyInvitations
    """
    by.mailer.require()
    organisation_id = by.principal.organisation_id
    own = await deciding_role(session, by.principal)
    _check_role(own, role)
    if await repository.is_member(session, email, organisation_id=organisation_id):
        raise AlreadyMember
    replaced = await repository.open_for(session, email, organisation_id=organisation_id)
    if replaced is not None:
        _check_role(own, MemberRole(replaced.role))
        await _revoke(session, by.principal, replaced, by.client, reason="replaced")
    if await repository.count_open(session, organisation_id) >= by.settings.invitations_open:
        raise TooManyInvitations
    token = opaque.new_token(opaque.INVITATION)
    lifetime = timedelta(seconds=by.settings.invitation_s)
    invitation = await repository.insert(
        session,
        organisation_id=organisation_id,
        email=email,
        role=role,
        token_hash=opaque.digest(token),
        invited_by=by.principal.subject,
        expires_at=await transaction_time(session) + lifetime,
    )
    await _send(session, by, invitation, token, useful_for=lifetime)
    _record(session, SecurityEvent.INVITATION_CREATED, by.principal, invitation, by.client)
    return invitation


async def resend(session: AsyncSession, by: Inviter, invitation_id: UUID) -> InvitationRow:
    """Invite the same address to the same role again, now by the caller: the link that was sent before is void.

    Raises:
        NotFound, and what `invite` raises
    """
    before = await repository.get_open(session, invitation_id, organisation_id=by.principal.organisation_id)
    if before is None:
        raise NotFound
    return await invite(session, by, email=before.email, role=MemberRole(before.role))


async def revoke(session: AsyncSession, principal: Principal, invitation_id: UUID, *, client: Client) -> None:
    """Take an invitation back.

    Raises:
        NotFound, RoleNotBelowYours
    """
    own = await deciding_role(session, principal)
    invitation = await repository.get_open(session, invitation_id, organisation_id=principal.organisation_id)
    if invitation is None:
        raise NotFound
    _check_role(own, MemberRole(invitation.role))
    await _revoke(session, principal, invitation, client, reason="revoked")


async def look_at(session: AsyncSession, token: str) -> tuple[InvitationRow, OrganisationRow]:
    """What an invitation invites to, without accepting it.

    Raises:
        InvitationInvalid
    """
    invitation = None
    if opaque.is_well_formed(opaque.INVITATION, token):
        invitation = await repository.valid(session, opaque.digest(token))
    organisation = await organisations.get(session, invitation.organisation_id) if invitation else None
    if invitation is None or organisation is None or not await _still_stands(session, invitation):
        raise InvitationInvalid
    return invitation, organisation


async def accept(
    session: AsyncSession, principal: Principal, token: str, *, client: Client
) -> tuple[OrganisationRow, MembershipRow]:
    """Join as the person who is signed in, whose address must be the invited one.

    Raises:
        InvitationInvalid, InvitationForAnother, AlreadyMember
    """
    invitation, organisation = await _lock(session, token)
    user = await accounts.get(session, principal.subject)
    if user is None or user.email != invitation.email:
        raise InvitationForAnother
    return organisation, await _join(session, invitation, user, client, session_id=principal.session_id)


async def register(
    session: AsyncSession, token: str, *, name: str, password_hash: str, client: Client
) -> tuple[UserRow, OrganisationRow, MembershipRow]:
    """Make an account for the invited address, which joins. It works where registration is switched off.

    An address that has an account violates `uq_user_email`, which only who reads its mail can learn.

    Raises:
        InvitationInvalid
    """
    invitation, organisation = await _lock(session, token)
    user = await accounts.insert(
        session, email=invitation.email, name=name, password_hash=password_hash, is_administrator=False
    )
    membership = await _join(session, invitation, user, client)
    record(session, SecurityEvent.REGISTERED, client=client, organisation_id=organisation.id, user_id=user.id)
    return user, organisation, membership


async def join(session: AsyncSession, token: str, *, client: Client) -> tuple[OrganisationRow, MembershipRow]:
    """Join as somebody who has an account but no organisation, and so can't sign in before.

    Only a verified address: its account is then of the person who holds the link, and of nobody who registered with
    the address of another.

    Raises:
        InvitationInvalid, SignInToAccept
    """
    invitation, organisation = await _lock(session, token)
    user = await accounts.by_email(session, invitation.email)
    if (
        user is None
        or user.email_verified_at is None
        or user.disabled_at is not None
        or await organisations.first_membership(session, user.id) is not None
    ):
        raise SignInToAccept
    return organisation, await _join(session, invitation, user, client)


async def _lock(session: AsyncSession, token: str) -> tuple[InvitationRow, OrganisationRow]:
    """The invitation, once nobody else can accept it or change what its inviter may do."""
    invitation, _organisation = await look_at(session, token)
    await organisations.lock(session, invitation.organisation_id)
    return await look_at(session, token)


async def _still_stands(session: AsyncSession, invitation: InvitationRow) -> bool:
    inviter = await organisations.membership(
        session, user_id=invitation.invited_by, organisation_id=invitation.organisation_id
    )
    if inviter is None or Permission.MEMBERS_MANAGE not in ROLE_PERMISSIONS[Role(inviter.role)]:
        return False
    return may_give(MemberRole(inviter.role), MemberRole(invitation.role))


async def _join(
    session: AsyncSession,
    invitation: InvitationRow,
    user: UserRow,
    client: Client,
    *,
    session_id: UUID | None = None,
) -> MembershipRow:
    organisation_id = invitation.organisation_id
    if await organisations.membership(session, user_id=user.id, organisation_id=organisation_id) is not None:
        raise AlreadyMember
    invitation.accepted_at = await transaction_time(session)
    membership = await organisations.insert_membership(
        session, organisation_id=organisation_id, user_id=user.id, role=MemberRole(invitation.role)
    )
    if user.email_verified_at is None:
        await repository.mark_verified(session, user.id)
        record(session, SecurityEvent.EMAIL_VERIFIED, client=client, user_id=user.id, session_id=session_id)
    record(
        session,
        SecurityEvent.INVITATION_ACCEPTED,
        client=client,
        organisation_id=organisation_id,
        user_id=user.id,
        session_id=session_id,
        invitation_id=show("invitation", invitation.id),
        invited_by=str(invitation.invited_by),
        role=invitation.role,
    )
    return membership


def _check_role(own: MemberRole, role: MemberRole) -> None:
    if not may_give(own, role):
        raise RoleNotBelowYours


async def _revoke(
    session: AsyncSession, principal: Principal, invitation: InvitationRow, client: Client, *, reason: str
) -> None:
    invitation.revoked_at = await transaction_time(session)
    await session.flush()
    _record(session, SecurityEvent.INVITATION_REVOKED, principal, invitation, client, reason=reason)


async def _send(
    session: AsyncSession, by: Inviter, invitation: InvitationRow, token: str, *, useful_for: timedelta
) -> None:
    organisation = await organisations.get(session, invitation.organisation_id)
    inviter = await accounts.get(session, by.principal.subject)
    if organisation is None or inviter is None:
        raise NotFound
    await mail.send(
        session,
        by.mailer,
        "invitation",
        to=invitation.email,
        useful_for=useful_for,
        link=by.mailer.link(PAGE, token),
        organisation=organisation.name,
        inviter=inviter.name,
        role=invitation.role,
        until=invitation.expires_at,
    )


def _record(
    session: AsyncSession,
    event: SecurityEvent,
    principal: Principal,
    invitation: InvitationRow,
    client: Client,
    *,
    reason: str | None = None,
) -> None:
    named = {"invitation_id": show("invitation", invitation.id), "role": invitation.role}
    record_by(session, event, principal, client=client, reason=reason, **named)
