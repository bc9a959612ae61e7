"""Proving once more who one is, in a session that goes on: what sensitive changes ask for.

Source: RFC 9470 (step-up authentication).
"""

from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts import login, repository
from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.accounts.problems import InvalidCredentials, WrongPassword
from fluxprint_auth.clients import Client
from fluxprint_auth.factors import service as factors
from fluxprint_auth.factors.problems import SecondFactorInvalid, WrongCode
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.database import Database
from fluxprint_common.principal import Principal
from fluxprint_common.problems import Conflict, FieldProblem, Invalid, NotFound


class WrongProof(Invalid):
    """Send what this account is protected with: the code of its second factor, else its password"""

    code = "wrong_proof"

    def __init__(self, needed: str) -> None:
        problem = FieldProblem(pointer=f"/{needed}", code="missing", message=f"This account needs the {needed}")
        super().__init__(errors=[problem])


class NoProofPossible(Conflict):
    """This account has neither a password nor a second factor; sign in again where you sign in"""

    code = "no_proof_possible"


@dataclass(frozen=True, kw_only=True)
class Proof:
    """What somebody sent, one of both."""

    password: str | None = field(repr=False)
    code: str | None = field(repr=False)
    client: Client


async def prove(
    session: AsyncSession,
    principal: Principal,
    proof: Proof,
    *,
    lockout: login.Lockout,
    guard: factors.Guard,
    passwords: Passwords,
    pool: Database,
) -> bool:
    """Check a new proof of somebody who is signed in: the code where they have a second factor, else the password.

    Failures count as when signing in.

    Args:
        session: the request's transaction, not yet begun.

    Returns:
        Whether a second factor was part of it.

    Raises:
        WrongProof: the account is protected with the other thing. NoProofPossible: with neither.
        WrongPassword, WrongCode, AccountLocked, SecondFactorLocked
    """
    async with pool.reading() as reading:
        user = await repository.get(reading, principal.subject)
        has_factor = await factors.is_active(reading, principal.subject)
    if user is None:
        raise NotFound
    if has_factor:
        if proof.code is None:
            raise WrongProof("code")
        await _check_code(session, principal, proof.code, guard=guard, client=proof.client)
    else:
        if user.password_hash is None:
            raise NoProofPossible
        if proof.password is None:
            raise WrongProof("password")
        attempt = login.Attempt(email=user.email, password=proof.password, client=proof.client)
        await check_password(session, principal, attempt, lockout=lockout, passwords=passwords, pool=pool)
    _record(session, SecurityEvent.REAUTHENTICATED, principal, proof.client)
    return has_factor


async def _check_code(
    session: AsyncSession, principal: Principal, code: str, *, guard: factors.Guard, client: Client
) -> None:
    try:
        await factors.check(session, principal.subject, code, guard=guard, client=client)
    except SecondFactorInvalid:
        _record(session, SecurityEvent.REAUTHENTICATION_FAILED, principal, client, reason="wrong_code")
        raise WrongCode from None


async def check_password(
    session: AsyncSession,
    principal: Principal,
    attempt: login.Attempt,
    *,
    lockout: login.Lockout,
    passwords: Passwords,
    pool: Database,
) -> None:
    try:
        await login.authenticate(attempt, lockout, passwords, pool=pool, session=session)
    except InvalidCredentials:
        _record(session, SecurityEvent.REAUTHENTICATION_FAILED, principal, attempt.client, reason="wrong_password")
        raise WrongPassword from None


def _record(
    session: AsyncSession, event: SecurityEvent, principal: Principal, client: Client, *, reason: str | None = None
) -> None:
    record(
        session,
        event,
        client=client,
        organisation_id=principal.organisation_id,
        user_id=principal.subject,
        session_id=principal.session_id,
        outcome=Outcome.FAILURE if reason else Outcome.SUCCESS,
        reason=reason,
    )
