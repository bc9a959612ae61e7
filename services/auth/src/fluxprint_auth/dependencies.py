"""What routes take from the running application."""

from typing import Annotated

from fastapi import Depends, Request

from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.keys.access_tokens import AccessTokens
from fluxprint_auth.keys.published import PublishedKeys
from fluxprint_auth.sessions.service import Sessions
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.database import Database
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


async def _keys(request: Request) -> PublishedKeys:
    keys: PublishedKeys = request.app.state.keys
    return keys


async def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


async def _limiter(request: Request) -> RateLimiter:
    limiter: RateLimiter = request.app.state.rate_limiter
    return limiter


async def _address(request: Request) -> str:
    return request.client.host if request.client else ""


CurrentSettings = Annotated[AuthSettings, Depends(_settings)]
Pool = Annotated[Database, Depends(_database)]
PasswordHashing = Annotated[Passwords, Depends(_passwords)]
Issuer = Annotated[AccessTokens, Depends(_issuer)]
Keys = Annotated[PublishedKeys, Depends(_keys)]
LoginSessions = Annotated[Sessions, Depends(_sessions)]
Limiter = Annotated[RateLimiter, Depends(_limiter)]
ClientAddress = Annotated[str, Depends(_address)]
# Every member's role has this permission; a bridge's has not.
Person = Annotated[Principal, require(Permission.ORGANISATION_READ)]
