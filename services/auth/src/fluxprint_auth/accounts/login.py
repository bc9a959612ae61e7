"""Signing in with a password: constant work, counted failures, and a lock that holds without Redis."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from typing import Self

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import repository
from fluxprint_auth.accounts.models import LoginThrottleRow, UserRow
from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.accounts.problems import AccountLocked, InvalidCredentials
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.security.events import SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.database import Database


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Somebody's try to sign in; `email` is normalised."""

    email: str
    password: str = field(repr=False)
    client: Client


@dataclass(frozen=True, kw_only=True)
class Lockout:
    """After so many failures an address is locked for a while; without failures for a while they are forgotten."""

    failures: int
    lock: timedelta
    reset: timedelta

    @classmethod
    def of(cls, settings: AuthSettings) -> Self:
        return cls(
            failures=settings.lockout_failures,
            lock=timedelta(seconds=settings.lockout_s),
            reset=timedelta(seconds=settings.lockout_reset_s),
        )


def account_key(email: str) -> str:
    """What failures are counted by: people type passwords into the wrong field, so the address itself is not kept."""
    return hashlib.sha256(email.encode()).hexdigest()


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
    """
    key = account_key(attempt.email)
    async with pool.reading() as reading:
        _refuse_locked(await repository.locked_for(reading, key))  # a locked address costs no hash
        user = await repository.by_email(reading, attempt.email)
    matches = await passwords.verify(user.password_hash if user else None, attempt.password)
    new_hash = None
    if user is not None and matches and user.password_hash and passwords.is_outdated(user.password_hash):
        new_hash = await passwords.hash(attempt.password)

    throttle = await repository.lock_throttle(session, key)
    now = await transaction_time(session)
    if throttle.locked_until is not None:
        _refuse_locked(throttle.locked_until - now)
    if user is None or not matches:
        _count_failure(session, throttle, attempt, lockout, now=now, user=user)
        raise InvalidCredentials
    await session.delete(throttle)
    if new_hash is not None and user.password_hash is not None:
        await repository.replace_hash(session, user.id, old=user.password_hash, new=new_hash)
    return user


def _refuse_locked(remaining: timedelta | None) -> None:
    if remaining is not None and remaining > timedelta():
        raise AccountLocked(retry_after_s=ceil(remaining.total_seconds()))


def _count_failure(
    session: AsyncSession,
    throttle: LoginThrottleRow,
    attempt: Attempt,
    lockout: Lockout,
    *,
    now: datetime,
    user: UserRow | None,
) -> None:
    starts_anew = throttle.locked_until is not None or now - throttle.last_failed_at >= lockout.reset
    throttle.failures = 1 if starts_anew else throttle.failures + 1
    throttle.last_failed_at = now
    throttle.locked_until = now + lockout.lock if throttle.failures >= lockout.failures else None
    user_id = user.id if user else None
    key = throttle.account_key[:16]
    record(session, SecurityEvent.LOGIN_FAILED, client=attempt.client, user_id=user_id, account=key)
    if throttle.locked_until is not None:
        record(session, SecurityEvent.LOCKOUT_TRIGGERED, client=attempt.client, user_id=user_id, account=key)
