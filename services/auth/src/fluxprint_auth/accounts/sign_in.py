"""From a person who proved who they are to a session of theirs: the one way, however they proved it."""

from dataclasses import dataclass, field, replace
from typing import Self

from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.accounts.models import UserRow
from fluxprint_auth.accounts.problems import AccountDisabled
from fluxprint_auth.clients import Client
from fluxprint_auth.factors import service as factors
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.organisations import repository as organisations
from fluxprint_auth.sessions.service import Sessions, TokenPair
from fluxprint_auth.settings import AuthSettings
from fluxprint_auth.trusted_devices import service as trusted_devices


@dataclass(frozen=True, kw_only=True)
class Code:
    """What a person sent of their second factor, together with the first."""

    code: str = field(repr=False)
    guard: factors.Guard

    @classmethod
    def of(cls, given: SecretStr, settings: AuthSettings, mailer: Mailer) -> Self:
        """What came in a request."""
        return cls(code=given.get_secret_value(), guard=factors.Guard.of(settings, mailer))


async def complete(
    session: AsyncSession, user: UserRow, *, sessions: Sessions, client: Client, code: Code | None = None
) -> TokenPair:
    """Begin a session for somebody whose first factor was right, in the organisation that they joined first.

    Args:
        code: the second factor, for clients that ask for it at once. Where there is none, it means nothing.

    Raises:
        SecondFactorRequired: with the challenge to send the code with. SecondFactorInvalid, SecondFactorLocked.
        AccountDisabled, NoOrganisation
    """
    if user.disabled_at is not None:
        raise AccountDisabled
    has_factor = await factors.is_active(session, user.id)
    if has_factor:
        if code is None:
            raise await factors.challenge(session, user.id)
        await factors.check(session, user.id, code.code, guard=code.guard, client=client)
    return await _open(session, user, sessions=sessions, client=client, second_factor=has_factor)


async def complete_with_challenge(
    session: AsyncSession, challenge: str, code: Code, *, sessions: Sessions, client: Client
) -> TokenPair:
    """Begin a session for somebody whose first factor was right a short while ago, and whose second is right now.

    Raises:
        ChallengeInvalid, SecondFactorInvalid, SecondFactorLocked, NoOrganisation
    """
    user = await factors.answer_challenge(session, challenge, code.code, guard=code.guard, client=client)
    return await _open(session, user, sessions=sessions, client=client, second_factor=True)


async def _open(
    session: AsyncSession, user: UserRow, *, sessions: Sessions, client: Client, second_factor: bool
) -> TokenPair:
    membership = await organisations.first_membership(session, user.id)
    pair = await sessions.open(session, membership, client=client, second_factor=second_factor)
    return replace(pair, device_token=await trusted_devices.trust(session, user.id, client))
