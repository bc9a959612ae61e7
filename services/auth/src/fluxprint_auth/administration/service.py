"""Rules of the administration: what an administrator does to an account, through the API or on the command line."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import login
from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.administration import repository
from fluxprint_auth.administration.problems import LastAdministrator
from fluxprint_auth.api_keys import service as api_keys
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.factors import service as factors
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions.models import EndReason
from fluxprint_auth.sessions.service import Sessions
from fluxprint_common.principal import Principal
from fluxprint_common.problems import NotFound


@dataclass(frozen=True, kw_only=True)
class Administration:
    """Who administrates; on the command line neither is known. With `mailer` the person learns of it."""

    principal: Principal | None = None
    client: Client | None = None
    mailer: Mailer | None = None

    @property
    def actor_id(self) -> UUID | None:
        return self.principal.subject if self.principal else None


async def get(session: AsyncSession, user_id: UUID) -> UserRow:
    """An account.

    Raises:
        NotFound
    """
    user = await accounts.get(session, user_id)
    if user is None:
        raise NotFound
    return user


async def disable(session: AsyncSession, by: Administration, user_id: UUID) -> UserRow:
    """Shut a person out at once: no sign-in, and none of their sessions and keys is believed. Nothing is deleted.

    An organisation whose only owner they are has nobody to look after it until they are enabled again: a compromised
    account must be shut out all the same.

    Raises:
        NotFound, LastAdministrator
    """
    administrators = await repository.lock_administrators(session)
    user = await _lock(session, user_id)
    if user.disabled_at is not None:
        return user
    if user.is_administrator and not set(administrators) - {user_id}:
        raise LastAdministrator
    await repository.set_disabled(session, user_id, await transaction_time(session))
    await _end_sessions(session, by, user_id, EndReason.ACCOUNT_DISABLED)
    await api_keys.renew_of_member(session, user_id)
    await revocations.tell_of_person(session, user_id)
    _record(session, SecurityEvent.ACCOUNT_DISABLED, by, user_id)
    return await _lock(session, user_id)


async def enable(session: AsyncSession, by: Administration, user_id: UUID) -> UserRow:
    """Let a person in again. Their keys work again, their sessions stay ended.

    Raises:
        NotFound
    """
    user = await _lock(session, user_id)
    if user.disabled_at is None:
        return user
    await repository.set_disabled(session, user_id, None)
    await api_keys.renew_of_member(session, user_id)
    _record(session, SecurityEvent.ACCOUNT_ENABLED, by, user_id)
    return await _lock(session, user_id)


async def unlock(session: AsyncSession, by: Administration, user_id: UUID) -> UserRow:
    """Forget a person's failed logins and wrong codes.

    Raises:
        NotFound
    """
    user = await _lock(session, user_id)
    await login.unlock(session, user.email)
    await factors.unlock(session, user_id)
    _record(session, SecurityEvent.ACCOUNT_UNLOCKED, by, user_id)
    return user


async def reset_second_factor(session: AsyncSession, by: Administration, user_id: UUID) -> UserRow:
    """Take a person's second factor away, who has lost it, and end their sessions. Verify first that it is them.

    Raises:
        NotFound
    """
    user = await _lock(session, user_id)
    if await factors.reset(session, user_id, client=by.client, actor_id=by.actor_id, mailer=by.mailer):
        await _end_sessions(session, by, user_id, EndReason.SECOND_FACTOR_RESET)
    return user


async def end_sessions(session: AsyncSession, by: Administration, user_id: UUID) -> int:
    """Sign a person out everywhere; how many sessions that ended.

    Raises:
        NotFound
    """
    await _lock(session, user_id)
    return await _end_sessions(session, by, user_id, EndReason.ENDED_ELSEWHERE)


async def _lock(session: AsyncSession, user_id: UUID) -> UserRow:
    user = await accounts.lock(session, user_id)
    if user is None:
        raise NotFound
    return user


async def _end_sessions(session: AsyncSession, by: Administration, user_id: UUID, reason: EndReason) -> int:
    return await Sessions.end_all(session, user_id, reason, client=by.client, actor_id=by.actor_id)


def _record(session: AsyncSession, event: SecurityEvent, by: Administration, user_id: UUID) -> None:
    record(
        session,
        event,
        client=by.client,
        actor_id=by.actor_id,
        user_id=user_id,
        session_id=by.principal.session_id if by.principal else None,
    )
