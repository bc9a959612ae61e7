"""Signing in with a password: constant work, counted failures, and locks that hold without Redis."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository
from fluxprint_auth.accounts.lockout import Counter, Lockout, account_key, counters_of
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.accounts.problems import AccountLocked, EmailNotVerified, InvalidCredentials
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.links import repository as links
from fluxprint_auth.links.models import LinkKind
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.trusted_devices import service as trusted_devices
from fluxprint_auth.trusted_devices.networks import network_of
from fluxprint_common.database import Database

__all__ = ["Attempt", "Lockout", "account_key", "authenticate", "limit_key", "refuse_unverified", "unlock"]


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Somebody's try to sign in; `email` is normalised."""

    email: str
    password: str = field(repr=False)
    client: Client


@dataclass(frozen=True)
class _Found:
    """What there is for an address: an account, and a registration whose address was not confirmed yet.

    There can be both: anybody may register with an address that has an account, and must not learn of it.
    """

    user: UserRow | None
    waiting_hash: str | None
    counters: Sequence[Counter]


async def authenticate(
    attempt: Attempt, lockout: Lockout, passwords: Passwords, *, pool: Database, session: AsyncSession
) -> UserRow:
    """The user whose address and password these are.

    No connection is held while the password is hashed. Failures are counted behind a row lock after it, so that
    of many guesses at once no more than `lockout.failures` get an answer that tells anything.

    Args:
        session: the request's transaction, not yet begun.

    Raises:
        AccountLocked: whatever the password. InvalidCredentials: after counting the failure.
        EmailNotVerified: the password is right, of a registration that waits for its address to be confirmed.
    """
    found = await _find(attempt, lockout, pool)
    user = found.user
    matches = await passwords.verify(user.password_hash if user else None, attempt.password)
    waits = found.waiting_hash is not None and await passwords.verify(found.waiting_hash, attempt.password)
    new_hash = None
    if user is not None and matches and user.password_hash and passwords.is_outdated(user.password_hash):
        new_hash = await passwords.hash(attempt.password)

    own = found.counters[0]
    throttle = await repository.lock_throttle(session, own.key, account=own.account)
    _refuse_locked(await repository.locked_for(session, [counter.key for counter in found.counters]))
    if user is None or not matches:
        if waits:
            # Also where there is an account; and no failures are forgotten: anybody can choose that password.
            raise EmailNotVerified
        await _count_failure(session, attempt, found, lockout)
        raise InvalidCredentials
    await session.delete(throttle)
    if new_hash is not None and user.password_hash is not None:
        await repository.replace_hash(session, user.id, old=user.password_hash, new=new_hash)
    return user


def limit_key(email: str, client: Client) -> str:
    """What the rate limit of one account counts by: strangers must not use up what its owner may do."""
    place = f"{account_key(email)}\0{network_of(client.address)}\0{client.device_token}"
    return hashlib.sha256(place.encode()).hexdigest()


def refuse_unverified(user: UserRow, *, required: bool) -> None:
    """Refuse somebody whose address was never confirmed, where that is asked for.

    Raises:
        EmailNotVerified
    """
    if required and user.email_verified_at is None:
        raise EmailNotVerified


async def unlock(session: AsyncSession, email: str) -> None:
    """Forget the failed logins of an account; what was counted over all accounts stays."""
    await repository.delete_throttles(session, account_key(email))


async def _find(attempt: Attempt, lockout: Lockout, pool: Database) -> _Found:
    key = account_key(attempt.email)
    async with pool.reading() as reading:
        user = await repository.by_email(reading, attempt.email)
        known = await trusted_devices.recognise(reading, user.id if user else None, attempt.client)
        counters = counters_of(lockout, key, attempt.client, known)
        _refuse_locked(await repository.locked_for(reading, [counter.key for counter in counters]))  # costs no hash
        waiting = await links.open_for(reading, LinkKind.REGISTRATION, key)
    return _Found(user, waiting.data["password_hash"] if waiting else None, counters)


def _refuse_locked(remaining: timedelta | None) -> None:
    if remaining is not None and remaining > timedelta():
        raise AccountLocked(retry_after_s=ceil(remaining.total_seconds()))


async def _count_failure(session: AsyncSession, attempt: Attempt, found: _Found, lockout: Lockout) -> None:
    rows = [await repository.lock_throttle(session, one.key, account=one.account) for one in found.counters]
    # Others were counted meanwhile; what was one too many tells nothing.
    _refuse_locked(await repository.locked_for(session, [counter.key for counter in found.counters]))
    now = await transaction_time(session)
    user_id = found.user.id if found.user else None
    account = account_key(attempt.email)[:16]
    reason = "wrong_password" if found.user else "unknown_account"
    record(
        session,
        SecurityEvent.LOGIN_FAILED,
        client=attempt.client,
        user_id=user_id,
        outcome=Outcome.FAILURE,
        reason=reason,
        account=account,
    )
    for counter, row in zip(found.counters, rows, strict=True):
        if counter.count(row, lockout, now):
            record(
                session,
                SecurityEvent.LOCKOUT_TRIGGERED,
                client=attempt.client,
                user_id=user_id,
                outcome=Outcome.FAILURE,
                reason=counter.place,
                account=account,
            )
