"""What routes take from the running application."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request

from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.clients import MAX_LANGUAGES_CHARS, Client, device_cookie
from fluxprint_auth.exchange.service import Exchanger
from fluxprint_auth.keyring import Keyring
from fluxprint_auth.keys.access_tokens import AccessTokens
from fluxprint_auth.keys.signing import SigningKeys
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.sessions.problems import ReauthenticationRequired
from fluxprint_auth.sessions.service import Sessions
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.database import Database
from fluxprint_common.exchange import MAX_AGENT_CHARS
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import RateLimiter


def _state(name: str) -> Any:
    """What the application keeps under a name while it runs (`app.py` puts it there)."""

    async def take(request: Request) -> Any:
        return getattr(request.app.state, name)

    return Depends(take)


CurrentSettings = Annotated[AuthSettings, _state("settings")]
Pool = Annotated[Database, _state("database")]
PasswordHashing = Annotated[Passwords, _state("passwords")]
Issuer = Annotated[AccessTokens, _state("issuer")]
Keys = Annotated[SigningKeys, _state("keys")]
LoginSessions = Annotated[Sessions, _state("sessions")]
Limiter = Annotated[RateLimiter, _state("rate_limiter")]
CurrentMailer = Annotated[Mailer, _state("mailer")]
Secrets = Annotated[Keyring, _state("keyring")]
Exchanging = Annotated[Exchanger, _state("exchanger")]


async def _client(request: Request, settings: CurrentSettings) -> Client:
    address = request.client.host if request.client else ""
    return Client(
        address,
        request.headers.get("User-Agent", "")[:MAX_AGENT_CHARS],
        request.headers.get("Accept-Language", "")[:MAX_LANGUAGES_CHARS],
        request.cookies.get(device_cookie(settings.public_url), ""),
    )


def fresh(*permissions: Permission) -> Any:
    """The principal with these permissions, for what must not be done with a session that somebody left open.

    Only a person can prove anything, so it asks for what only a person has as well.

    Source: RFC 9470 (step-up): the answer names the oldest sign-in that would do.
    """
    needed = {*permissions, Permission.ACCOUNT_MANAGE}

    async def check(principal: Annotated[Principal, require(*sorted(needed))], settings: CurrentSettings) -> Principal:
        check_fresh(principal, settings)
        return principal

    return Depends(check)


def check_fresh(principal: Principal, settings: AuthSettings) -> None:
    """Refuse who has not proved a short while ago who they are; where a route's signature can't tell beforehand.

    Raises:
        ReauthenticationRequired
    """
    within = timedelta(seconds=settings.fresh_within_s)
    if principal.authenticated_at is None or datetime.now(UTC) - principal.authenticated_at > within:
        raise ReauthenticationRequired(within_s=settings.fresh_within_s)


CurrentClient = Annotated[Client, Depends(_client)]
# Every member's role has this permission; a bridge's has not.
Person = Annotated[Principal, require(Permission.ORGANISATION_READ)]
# A person who signed in here, on their own account; the second one no longer than ten minutes ago.
Oneself = Annotated[Principal, require(Permission.ACCOUNT_MANAGE)]
FreshOneself = Annotated[Principal, fresh(Permission.ACCOUNT_MANAGE)]
