"""Rules of second factors: set up, asked for, and replaced. See docs/accounts.md."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.clients import Client
from fluxprint_auth.database import transaction_time
from fluxprint_auth.factors import codes, repository
from fluxprint_auth.factors.models import SecondFactorRow
from fluxprint_auth.factors.notices import Notice, tell
from fluxprint_auth.factors.problems import (
    ChallengeInvalid,
    ConfirmationCodeWrong,
    NoSecondFactor,
    NothingToConfirm,
    SecondFactorActive,
    SecondFactorInvalid,
    SecondFactorLocked,
    SecondFactorRequired,
)
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.settings import AuthSettings

CHALLENGE_LIVES = timedelta(minutes=5)
CHALLENGE_TRIES = 5


@dataclass(frozen=True, kw_only=True)
class Guard:
    """What checking a code takes: keys and mail, and when to stop believing that somebody mistypes."""

    mailer: Mailer
    failures: int
    lock: timedelta
    reset: timedelta

    @classmethod
    def of(cls, settings: AuthSettings, mailer: Mailer) -> Self:
        return cls(
            mailer=mailer,
            failures=settings.lockout_failures,
            lock=timedelta(seconds=settings.lockout_s),
            reset=timedelta(seconds=settings.lockout_reset_s),
        )


async def is_active(session: AsyncSession, user_id: UUID) -> bool:
    """Whether the person signs in with a second factor."""
    return await repository.is_active(session, user_id)


async def begin(session: AsyncSession, user_id: UUID, *, keyring: Keyring) -> str:
    """A new secret for the person's app; nothing asks for it until its first code has come.

    Raises:
        SecondFactorActive
    """
    secret = codes.new_secret()
    if not await repository.put_pending(session, user_id, keyring.encrypt(Purpose.SECOND_FACTOR, secret.encode())):
        raise SecondFactorActive
    return secret


async def confirm(session: AsyncSession, user_id: UUID, code: str, *, mailer: Mailer, client: Client) -> list[str]:
    """The app shows the right code: from now on it is asked for.

    Returns:
        The recovery codes, which are shown only now.

    Raises:
        NothingToConfirm, ConfirmationCodeWrong
    """
    factor = await repository.lock(session, user_id)
    if factor is None or factor.confirmed_at is not None:
        raise NothingToConfirm
    now = await transaction_time(session)
    step = _step(factor, codes.plain(code), now=now, keyring=mailer.keyring)
    if step is None:
        raise ConfirmationCodeWrong
    factor.confirmed_at, factor.last_used_step = now, step
    await session.flush()
    record(session, SecurityEvent.SECOND_FACTOR_ENABLED, client=client, user_id=user_id)
    await tell(session, mailer, user_id, Notice.ENABLED)
    return await _new_recovery_codes(session, user_id)


async def renew_recovery_codes(session: AsyncSession, user_id: UUID, *, mailer: Mailer, client: Client) -> list[str]:
    """New recovery codes; the ones before are worth nothing any more.

    Raises:
        NoSecondFactor
    """
    factor = await repository.lock(session, user_id)
    if factor is None or factor.confirmed_at is None:
        raise NoSecondFactor
    record(session, SecurityEvent.RECOVERY_CODES_RENEWED, client=client, user_id=user_id)
    await tell(session, mailer, user_id, Notice.CODES_RENEWED)
    return await _new_recovery_codes(session, user_id)


async def disable(session: AsyncSession, user_id: UUID, *, mailer: Mailer, client: Client) -> None:
    """The person turns their factor off.

    Raises:
        NoSecondFactor
    """
    if not await repository.remove(session, user_id):
        raise NoSecondFactor
    record(session, SecurityEvent.SECOND_FACTOR_DISABLED, client=client, user_id=user_id)
    await tell(session, mailer, user_id, Notice.DISABLED)


async def reset(
    session: AsyncSession,
    user_id: UUID,
    *,
    client: Client | None = None,
    actor_id: UUID | None = None,
    mailer: Mailer | None = None,
) -> bool:
    """Take a person's factor away, for an administrator whom they asked because app and codes are lost.

    Returns:
        Whether there was one. Ending the person's sessions is the caller's.
    """
    removed = await repository.remove(session, user_id)
    if removed:
        record(session, SecurityEvent.SECOND_FACTOR_RESET, client=client, user_id=user_id, actor_id=actor_id)
        if mailer is not None:
            await tell(session, mailer, user_id, Notice.RESET)
    return removed


async def unlock(session: AsyncSession, user_id: UUID) -> None:
    """Forget a person's wrong codes, so that they need not wait."""
    factor = await repository.lock(session, user_id)
    if factor is not None:
        factor.failures, factor.last_failed_at, factor.locked_until = 0, None, None


async def challenge(session: AsyncSession, user_id: UUID) -> SecondFactorRequired:
    """The answer to somebody whose first factor was right; to be raised."""
    token = opaque.new_token(opaque.CHALLENGE)
    await repository.insert_challenge(session, user_id, opaque.digest(token), lives=CHALLENGE_LIVES)
    return SecondFactorRequired(token)


async def answer_challenge(session: AsyncSession, token: str, code: str, *, guard: Guard, client: Client) -> UserRow:
    """The person who began to sign in, and whose code this is. The challenge is used up.

    Raises:
        ChallengeInvalid, SecondFactorLocked, SecondFactorInvalid
    """
    row = None
    if opaque.is_well_formed(opaque.CHALLENGE, token):
        row = await repository.lock_challenge(session, opaque.digest(token))
    if row is None or row.tries >= CHALLENGE_TRIES:
        raise ChallengeInvalid
    row.tries += 1
    await check(session, row.user_id, code, guard=guard, client=client)
    await session.delete(row)
    user = await accounts.get(session, row.user_id)
    if user is None:
        raise ChallengeInvalid
    return user


async def forget_challenges(session: AsyncSession, user_id: UUID) -> None:
    """End sign-ins that wait for a code, because their first factor is no longer right (a new password)."""
    await repository.forget_challenges(session, user_id)


async def check(session: AsyncSession, user_id: UUID, code: str, *, guard: Guard, client: Client) -> None:
    """Take a code of the app or a recovery code, each once. Failures are counted behind the lock on the factor.

    Raises:
        NoSecondFactor, SecondFactorLocked, SecondFactorInvalid
    """
    factor = await repository.lock(session, user_id)
    if factor is None or factor.confirmed_at is None:
        raise NoSecondFactor
    now = await transaction_time(session)
    if factor.locked_until is not None and factor.locked_until > now:
        raise SecondFactorLocked(retry_after_s=(factor.locked_until - now).total_seconds())
    code = codes.plain(code)
    if codes.is_totp(code):
        step = _step(factor, code, now=now, keyring=guard.mailer.keyring)
        right = step is not None
        factor.last_used_step = factor.last_used_step if step is None else step
    else:
        right = await repository.use_recovery_code(session, user_id, codes.recovery_hash(user_id, code))
        if right:
            record(session, SecurityEvent.RECOVERY_CODE_USED, client=client, user_id=user_id)
            await tell(session, guard.mailer, user_id, Notice.CODE_USED)
    if not right:
        _count_failure(session, factor, guard, now=now, client=client)
        raise SecondFactorInvalid
    factor.failures, factor.last_failed_at, factor.locked_until = 0, None, None


def _count_failure(
    session: AsyncSession, factor: SecondFactorRow, guard: Guard, *, now: datetime, client: Client
) -> None:
    long_ago = factor.last_failed_at is None or now - factor.last_failed_at >= guard.reset
    factor.failures = 1 if long_ago or factor.locked_until is not None else factor.failures + 1
    factor.last_failed_at = now
    locks = factor.failures >= guard.failures
    factor.locked_until = now + guard.lock if locks else None
    events = {SecurityEvent.SECOND_FACTOR_FAILED: "wrong_code"}
    if locks:
        events[SecurityEvent.LOCKOUT_TRIGGERED] = "second_factor"
    for event, reason in events.items():
        record(session, event, client=client, user_id=factor.user_id, outcome=Outcome.FAILURE, reason=reason)


def _step(factor: SecondFactorRow, code: str, *, now: datetime, keyring: Keyring) -> int | None:
    secret = keyring.decrypt(Purpose.SECOND_FACTOR, factor.secret).decode()
    return codes.matching_step(secret, code, at_s=now.timestamp(), after=factor.last_used_step)


async def _new_recovery_codes(session: AsyncSession, user_id: UUID) -> list[str]:
    new = codes.new_recovery_codes()
    await repository.replace_recovery_codes(session, user_id, [codes.recovery_hash(user_id, code) for code in new])
    return new
