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


async def _settings(request: Request) -> AuthSettings:
    settings: AuthSettings = request.app.state.settings
    return settings


async def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database


async def _passwords(request: Request) -> Passwords:
    passwords: Passwords = request.app.state.passwords
    return passwords


async def _issuer(request: Request) -> AccessTokens:
    issuer: AccessTokens = request.app.state.issuer
    return issuer


async def _keys(request: Request) -> SigningKeys:
    keys: SigningKeys = request.app.state.keys
    return keys


async def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


async def _limiter(request: Request) -> RateLimiter:
    limiter: RateLimiter = request.app.state.rate_limiter
    return limiter


async def _client(request: Request, settings: Annotated[AuthSettings, Depends(_settings)]) -> Client:
    address = request.client.host if request.client else ""
    return Client(
        address,
        request.headers.get("User-Agent", "")[:MAX_AGENT_CHARS],
        request.headers.get("Accept-Language", "")[:MAX_LANGUAGES_CHARS],
        request.cookies.get(device_cookie(settings.public_url), ""),
    )


async def _keyring(request: Request) -> Keyring:
    keyring: Keyring = request.app.state.keyring
    return keyring


async def _mailer(request: Request) -> Mailer:
    mailer: Mailer = request.app.state.mailer
    return mailer


async def _exchanger(request: Request) -> Exchanger:
    exchanger: Exchanger = request.app.state.exchanger
    return exchanger


def fresh(*permissions: Permission) -> Any:
    """The principal with these permissions, for what must not be done with a session that somebody left open.

    Only a person can prove anything, so it asks for what only a person has as well.

    Source: RFC 9470 (step-up): the answer names the oldest sign-in that would do.
    """
    needed = {*permissions, Permission.ACCOUNT_MANAGE}

    async def check(
        principal: Annotated[Principal, require(*sorted(needed))], settings: Annotated[AuthSettings, Depends(_settings)]
    ) -> Principal:
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


CurrentSettings = Annotated[AuthSettings, Depends(_settings)]
Pool = Annotated[Database, Depends(_database)]
PasswordHashing = Annotated[Passwords, Depends(_passwords)]
Issuer = Annotated[AccessTokens, Depends(_issuer)]
Keys = Annotated[SigningKeys, Depends(_keys)]
LoginSessions = Annotated[Sessions, Depends(_sessions)]
Limiter = Annotated[RateLimiter, Depends(_limiter)]
CurrentClient = Annotated[Client, Depends(_client)]
CurrentMailer = Annotated[Mailer, Depends(_mailer)]
Secrets = Annotated[Keyring, Depends(_keyring)]
Exchanging = Annotated[Exchanger, Depends(_exchanger)]
# Every member's role has this permission; a bridge's has not.
Person = Annotated[Principal, require(Permission.ORGANISATION_READ)]
# A person who signed in here, on their own account; the second one no longer than ten minutes ago.
Oneself = Annotated[Principal, require(Permission.ACCOUNT_MANAGE)]
FreshOneself = Annotated[Principal, fresh(Permission.ACCOUNT_MANAGE)]
