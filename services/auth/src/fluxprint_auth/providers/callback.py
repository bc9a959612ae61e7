"""What happens when a provider sends somebody's browser back."""

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth.clients import Client
from fluxprint_auth.keyring import Keyring
from fluxprint_auth.providers import flows
from fluxprint_auth.providers.base import Answer, Profile, Provider
from fluxprint_auth.providers.http import ProviderFailed
from fluxprint_auth.providers.problems import StateInvalid
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_common.database import Database

_MAX_CHARS = 4096


async def finish(
    parameters: Mapping[str, str],
    provider: Provider,
    *,
    redirect_uri: str,
    browser: str,
    pool: Database,
    keyring: Keyring,
    client: Client,
) -> str:
    """Where the browser goes on, with a code or an error. No transaction is open while the provider is asked.

    Args:
        parameters: what the provider sent.
        browser: the secret of the browser's cookie.

    Raises:
        StateInvalid
    """
    name = provider.name
    async with pool.unit_of_work() as session:
        try:
            back = await flows.come_back(
                session, name, parameters.get("state", "")[:_MAX_CHARS], browser=browser, keyring=keyring
            )
        except StateInvalid:
            _failed(session, client, name, "state")
            raise
    answered: Profile | ProviderFailed
    if "error" in parameters:
        answered = ProviderFailed("refused_there")
    else:
        answer = Answer(
            code=parameters.get("code", "")[:_MAX_CHARS],
            issuer=parameters.get("iss"),
            user=parameters.get("user", "")[:_MAX_CHARS] or None,
        )
        try:
            answered = await provider.profile(answer, back.trip, redirect_uri=redirect_uri)
        except ProviderFailed as failure:
            answered = failure
    async with pool.unit_of_work() as session:
        if isinstance(answered, Profile):
            return await flows.settle(session, back, answered, keyring=keyring)
        _failed(session, client, name, answered.reason)
        return await flows.give_up(session, back, _error(answered, parameters))


def _failed(session: AsyncSession, client: Client, provider: str, reason: str) -> None:
    event = SecurityEvent.PROVIDER_SIGN_IN_FAILED
    record(session, event, client=client, outcome=Outcome.FAILURE, reason=reason, provider=provider)


def _error(failure: ProviderFailed, parameters: Mapping[str, str]) -> str:
    if "error" in parameters:
        return "access_denied"
    return "provider_unavailable" if failure.is_away else "provider_failed"
