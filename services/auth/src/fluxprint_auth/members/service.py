"""Rules of an organisation's members.

Every change first locks the organisation and then looks again at who asks: a person who was demoted while their request
waited no longer has the say. The last owner stays; a trigger of the database holds that too, for whatever else may
delete a membership.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.members import access, repository
from fluxprint_auth.members.problems import LastOwner, RoleNotBelowYours
from fluxprint_auth.organisations import repository as organisations
from fluxprint_auth.organisations.models import MembershipRow
from fluxprint_auth.organisations.roles import MemberRole, may_decide_on, may_give
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record_by
from fluxprint_common.permissions import ROLE_PERMISSIONS, Permission, Role
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Forbidden, NotFound


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Somebody who decides on members of their organisation.

    Attributes:
        prove: raises unless they proved a short while ago who they are; asked where ownership is given or taken.
    """

    principal: Principal
    client: Client
    prove: Callable[[], None]


def check_role(giver: Principal, role: MemberRole) -> None:
    """Refuse a role that is not below the giver's own.

    Raises:
        RoleNotBelowYours
    """
    if not may_give(MemberRole(giver.role), role):
        raise RoleNotBelowYours


async def deciding_role(session: AsyncSession, principal: Principal) -> MemberRole:
    """What the caller is at this moment, with the organisation locked from here on.

    Raises:
        NotFound: no member any more. Forbidden: their role no longer allows to decide on members.
    """
    await organisations.lock(session, principal.organisation_id)
    membership = await organisations.membership(
        session, user_id=principal.subject, organisation_id=principal.organisation_id
    )
    if membership is None:
        raise NotFound
    if Permission.MEMBERS_MANAGE not in ROLE_PERMISSIONS[Role(membership.role)]:
        raise Forbidden
    return MemberRole(membership.role)


async def add_member(
    session: AsyncSession,
    giver: Principal,
    *,
    email: str,
    name: str,
    role: MemberRole,
    password_hash: str,
    client: Client,
) -> tuple[MembershipRow, UserRow]:
    """Make an account for somebody and put them into the giver's organisation.

    An address that has an account violates `uq_user_email`: nobody is put anywhere unasked.

    Raises:
        RoleNotBelowYours
    """
    if not may_give(await deciding_role(session, giver), role):
        raise RoleNotBelowYours
    user = await accounts.insert(session, email=email, name=name, password_hash=password_hash, is_administrator=False)
    membership = await organisations.insert_membership(
        session, organisation_id=giver.organisation_id, user_id=user.id, role=role
    )
    record_by(session, SecurityEvent.MEMBER_ADDED, giver, client=client, user_id=user.id, role=role.value)
    return membership, user


async def change_role(
    session: AsyncSession, decision: Decision, user_id: UUID, role: MemberRole
) -> tuple[MembershipRow, UserRow]:
    """Give a member another role. Access tokens with the old one are refused from now on.

    Raises:
        NotFound, RoleNotBelowYours, LastOwner, ReauthenticationRequired
    """
    who = decision.principal
    own = await deciding_role(session, who)
    membership, user = await _member(session, who.organisation_id, user_id)
    before = MemberRole(membership.role)
    if not (may_decide_on(own, before) and may_decide_on(own, role)):
        raise RoleNotBelowYours
    if before is role:
        return membership, user
    if MemberRole.OWNER in {before, role}:
        decision.prove()
    if before is MemberRole.OWNER:
        await _keep_an_owner(session, who.organisation_id, user_id)
    await _change(session, membership, role)
    changed = {"before": before.value, "role": role.value}
    record_by(session, SecurityEvent.MEMBER_ROLE_CHANGED, who, client=decision.client, user_id=user_id, **changed)
    return await _member(session, who.organisation_id, user_id)


async def remove(session: AsyncSession, decision: Decision, user_id: UUID) -> None:
    """End somebody's membership, with their sessions and keys in this organisation.

    Raises:
        NotFound, RoleNotBelowYours, LastOwner, ReauthenticationRequired
    """
    who = decision.principal
    own = await deciding_role(session, who)
    membership, _user = await _member(session, who.organisation_id, user_id)
    role = MemberRole(membership.role)
    if not may_decide_on(own, role):
        raise RoleNotBelowYours
    if role is MemberRole.OWNER:
        decision.prove()
        await _keep_an_owner(session, who.organisation_id, user_id)
    await repository.remove(session, membership.id)
    await access.end(session, membership, client=decision.client, actor_id=who.subject)
    record_by(session, SecurityEvent.MEMBER_REMOVED, who, client=decision.client, user_id=user_id, role=role.value)


async def leave(session: AsyncSession, principal: Principal, *, client: Client) -> None:
    """End one's own membership, with one's sessions and keys in this organisation.

    Raises:
        NotFound, LastOwner
    """
    await organisations.lock(session, principal.organisation_id)
    membership, _user = await _member(session, principal.organisation_id, principal.subject)
    if membership.role == MemberRole.OWNER:
        await _keep_an_owner(session, principal.organisation_id, principal.subject)
    await repository.remove(session, membership.id)
    await access.end(session, membership, client=client, actor_id=principal.subject)
    record_by(
        session, SecurityEvent.MEMBER_LEFT, principal, client=client, user_id=principal.subject, role=membership.role
    )


async def transfer(
    session: AsyncSession, principal: Principal, user_id: UUID, *, client: Client
) -> tuple[MembershipRow, UserRow]:
    """Make a member the owner in one's own place; one stays, as a manager. Other owners stay owners.

    Raises:
        NotFound: no such member, or a disabled one. Forbidden: the caller is no owner any more.
    """
    await organisations.lock(session, principal.organisation_id)
    own, _myself = await _member(session, principal.organisation_id, principal.subject)
    if own.role != MemberRole.OWNER:
        raise Forbidden
    membership, user = await _member(session, principal.organisation_id, user_id)
    if user.disabled_at is not None:
        raise NotFound
    if user_id != principal.subject:
        if membership.role != MemberRole.OWNER:
            await _change(session, membership, MemberRole.OWNER)
        await _change(session, own, MemberRole.MANAGER)
        record_by(session, SecurityEvent.OWNERSHIP_TRANSFERRED, principal, client=client, user_id=user_id)
    return await _member(session, principal.organisation_id, user_id)


async def _member(session: AsyncSession, organisation_id: UUID, user_id: UUID) -> tuple[MembershipRow, UserRow]:
    row = await repository.get(session, organisation_id, user_id)
    if row is None:
        raise NotFound
    membership, user = row
    return membership, user


async def _keep_an_owner(session: AsyncSession, organisation_id: UUID, leaving: UUID) -> None:
    if not await repository.has_other_owner(session, organisation_id, than=leaving):
        raise LastOwner


async def _change(session: AsyncSession, membership: MembershipRow, role: MemberRole) -> None:
    await repository.set_role(session, membership.id, role)
    await access.renew(session, membership)
