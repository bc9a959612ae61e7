"""Rules of identities at providers: whose they are, and how they come to an account."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import registration
from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.credentials import normalise_email
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.accounts.problems import RegistrationDisabled
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.mail import service as mail
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.outside import repository as outside
from fluxprint_auth.providers import repository
from fluxprint_auth.providers.base import Profile
from fluxprint_auth.providers.models import IdentityRow
from fluxprint_auth.providers.problems import EmailUnverifiedThere, IdentityTaken, LastWayIn, SignInAndLink
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.problems import NotFound

_MAX_NAME_CHARS = 100


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What admitting somebody takes.

    Attributes:
        registration_enabled: whether who has no account gets one.
        titles: what the providers are called in mails.
    """

    keyring: Keyring
    mailer: Mailer
    client: Client
    registration_enabled: bool
    titles: Mapping[str, str]


async def admit(session: AsyncSession, profile: Profile, desk: Desk) -> UserRow:
    """The person whom a provider vouches for: their first factor was right.

    An identity that is not known yet is linked by itself only where the provider has verified the address and so have
    we: otherwise whoever registers with somebody else's address, here or there, gets into their account.

    Raises:
        EmailUnverifiedThere, SignInAndLink, RegistrationDisabled
    """
    email = _email_of(profile)
    identity = await repository.lock_identity(session, profile.provider, profile.subject)
    if identity is not None:
        user = await accounts.get(session, identity.user_id)
        if user is None:
            raise NotFound
        identity.last_used_at = await transaction_time(session)
        identity.email, identity.tokens = email, _seal(profile, desk.keyring)
        if profile.email_verified and email == user.email and user.email_verified_at is None:
            user.email_verified_at = identity.last_used_at
        return user
    if email is None or not profile.email_verified:
        raise EmailUnverifiedThere
    found = await accounts.by_email(session, email)
    user = found or await _register(session, profile, email, desk)
    # Whom an outside issuer vouches for is here as that issuer's, whose word about the address is not ours.
    if user.email_verified_at is None or await outside.is_outsider(session, user.id):
        raise SignInAndLink
    await _link(session, user, profile, email, desk)
    if found is not None:
        await _tell(session, user, "provider_linked", profile.provider, desk)
    return user


async def link(session: AsyncSession, user_id: UUID, profile: Profile, desk: Desk) -> IdentityRow:
    """Link an identity to the account of somebody who is signed in.

    Raises:
        IdentityTaken: it is linked already, to this account or to another.
    """
    user = await accounts.get(session, user_id)
    if user is None:
        raise NotFound
    if await repository.lock_identity(session, profile.provider, profile.subject) is not None:
        raise IdentityTaken
    identity = await _link(session, user, profile, _email_of(profile), desk)
    await _tell(session, user, "provider_linked", profile.provider, desk)
    return identity


async def unlink(session: AsyncSession, user_id: UUID, identity_id: UUID, desk: Desk) -> None:
    """Unlink an identity, unless nothing would be left to sign in with. Of two at once, one waits for the other.

    Raises:
        NotFound, LastWayIn
    """
    user = await accounts.lock(session, user_id)
    if user is None:
        raise NotFound
    provider = await repository.delete_identity(session, identity_id, user_id=user_id)
    if provider is None:
        raise NotFound
    if user.password_hash is None and await repository.count_identities(session, user_id) == 0:
        raise LastWayIn
    record(session, SecurityEvent.PROVIDER_UNLINKED, client=desk.client, user_id=user_id, provider=provider)
    await _tell(session, user, "provider_unlinked", provider, desk)


async def _register(session: AsyncSession, profile: Profile, email: str, desk: Desk) -> UserRow:
    if not desk.registration_enabled:
        raise RegistrationDisabled
    name = _name_of(profile, email)
    account = registration.NewAccount(email=email, name=name, password_hash=None, organisation_name=name)
    user, _organisation, _membership = await registration.register(session, account, client=desk.client)
    user.email_verified_at = await transaction_time(session)
    return user


async def _link(session: AsyncSession, user: UserRow, profile: Profile, email: str | None, desk: Desk) -> IdentityRow:
    identity = await repository.insert_identity(
        session,
        user_id=user.id,
        provider=profile.provider,
        subject=profile.subject,
        email=email,
        tokens=_seal(profile, desk.keyring),
    )
    record(session, SecurityEvent.PROVIDER_LINKED, client=desk.client, user_id=user.id, provider=profile.provider)
    return identity


async def _tell(session: AsyncSession, user: UserRow, template: str, provider: str, desk: Desk) -> None:
    at = await transaction_time(session)
    await mail.send(session, desk.mailer, template, to=user.email, provider=desk.titles.get(provider, provider), at=at)


def _seal(profile: Profile, keyring: Keyring) -> bytes:
    return keyring.encrypt(Purpose.PROVIDER_TOKENS, json.dumps(profile.tokens).encode())


def _email_of(profile: Profile) -> str | None:
    try:
        return normalise_email(profile.email) if profile.email else None
    except ValueError:
        return None


def _name_of(profile: Profile, email: str) -> str:
    """A name as people may have here; what a provider tells can be anything."""
    name = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]+", " ", profile.name or "").strip()
    return (name or email.partition("@")[0])[:_MAX_NAME_CHARS].strip()
