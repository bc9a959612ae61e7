"""New accounts, each with an organisation of its own."""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.organisations import service as organisations
from fluxprint_auth.organisations.models import MembershipRow, OrganisationRow
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record


@dataclass(frozen=True, kw_only=True)
class NewAccount:
    """Who registers; `email` is normalised. Without `password_hash` they sign in elsewhere.

    Attributes:
        email_verified: whether they have proved that the address is theirs.
    """

    email: str
    name: str
    password_hash: str | None = field(repr=False)
    organisation_name: str
    is_administrator: bool = False
    email_verified: bool = False


async def register(
    session: AsyncSession, account: NewAccount, *, client: Client | None
) -> tuple[UserRow, OrganisationRow, MembershipRow]:
    """Make a user who owns a new organisation. An address that is taken violates `uq_user_email`."""
    user = await repository.insert(
        session,
        email=account.email,
        name=account.name,
        password_hash=account.password_hash,
        is_administrator=account.is_administrator,
        email_verified=account.email_verified,
    )
    organisation, membership = await organisations.found(session, name=account.organisation_name, owner_id=user.id)
    event = SecurityEvent.ADMINISTRATOR_CREATED if account.is_administrator else SecurityEvent.REGISTERED
    record(session, event, client=client, organisation_id=organisation.id, user_id=user.id)
    return user, organisation, membership
