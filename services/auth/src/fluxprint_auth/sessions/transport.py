"""What carries a session: the body of an answer, for programs, or a cookie that no script can read, for browsers.

A browser sends the cookie by itself, whoever made the page that asks. So whatever is done with the cookie alone needs a
second thing that only our own pages can have: a token bound to the session, in a header, and the right `Origin`.
Source: OWASP Cross-Site Request Forgery Prevention (signed, session-bound tokens; verifying the origin), RFC 6265bis.
"""

import base64
import hmac
from dataclasses import dataclass
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Request, Response, Security
from fastapi.security import APIKeyCookie, HTTPAuthorizationCredentials, SecurityScopes
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.clients import Client, device_cookie
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.security.events import Outcome, SecurityEvent
from fluxprint_auth.security.service import record
from fluxprint_auth.sessions import repository
from fluxprint_auth.sessions.carry import Carry
from fluxprint_auth.sessions.models import SessionRow
from fluxprint_auth.sessions.problems import CsrfInvalid, RefreshTokenInvalid
from fluxprint_auth.sessions.schemas import Tokens, show_tokens
from fluxprint_auth.sessions.service import TokenPair
from fluxprint_auth.settings import AuthSettings
from fluxprint_auth.trusted_devices.service import LIFETIME as DEVICE_LIFETIME
from fluxprint_common.principal import Principal, authorise, bearer, has_credentials
from fluxprint_common.problems import ServiceError

PATH = "/api/v1/auth"
CSRF_HEADER = "X-CSRF-Token"
_NAME = "fluxprint_refresh"

Refused = TypeVar("Refused", bound=ServiceError)


@dataclass(frozen=True)
class Transport:
    """One request, and the answer to it."""

    request: Request
    response: Response

    def hand_over(self, pair: TokenPair, carry: Carry) -> Tokens:
        """The tokens as the answer's body has them; where it is asked for, the refresh token goes into the cookie."""
        if carry is Carry.BODY:
            return show_tokens(pair)
        self.response.set_cookie(
            self.cookie_name,
            pair.refresh_token,
            max_age=pair.refresh_expires_in_s,
            path=PATH,
            secure=self._is_secure,
            httponly=True,
            samesite="strict",
        )
        if pair.device_token is not None:
            self.response.set_cookie(
                device_cookie(self._settings.public_url),
                pair.device_token,
                max_age=int(DEVICE_LIFETIME.total_seconds()),
                path=PATH,
                secure=self._is_secure,
                httponly=True,
                samesite="strict",
            )
        return show_tokens(pair, csrf_token=self.csrf_token(pair.session_id))

    def without_cookie(self, error: Refused) -> Refused:
        """The error, whose answer takes the cookie away: it is good for nothing any more."""
        error.headers["Set-Cookie"] = self.clear()
        return error

    def clear(self) -> str:
        """The header `Set-Cookie` that takes the cookie away; set on the answer, too."""
        alone = Response()
        alone.delete_cookie(self.cookie_name, path=PATH, secure=self._is_secure, httponly=True, samesite="strict")
        header = alone.headers["Set-Cookie"]
        self.response.headers.append("Set-Cookie", header)
        return header

    @property
    def cookie(self) -> str | None:
        """The refresh token that the request's cookie holds."""
        return self.request.cookies.get(self.cookie_name)

    @property
    def cookie_name(self) -> str:
        """With the prefix that makes browsers refuse such a cookie from a page without TLS."""
        return f"__Secure-{_NAME}" if self._is_secure else _NAME

    async def use_cookie(self, session: AsyncSession, client: Client) -> tuple[str, SessionRow]:
        """The refresh token that the cookie holds and its session, which may have ended, for a request of our pages.

        Raises:
            RefreshTokenInvalid: there is none, or it is nobody's. CsrfInvalid: the request is somebody else's.
        """
        token, family = await self._read_cookie(session)
        if family is None:
            raise self.without_cookie(RefreshTokenInvalid())
        fault = self._csrf_fault(family.id)
        if fault is not None:
            self.request.app.state.metrics.csrf_refused.inc()
            record(
                session,
                SecurityEvent.CSRF_INVALID,
                client=client,
                organisation_id=family.organisation_id,
                user_id=family.user_id,
                session_id=family.id,
                outcome=Outcome.FAILURE,
                reason=fault,
            )
            raise CsrfInvalid
        return token, family

    async def shown_csrf_token(self, session: AsyncSession) -> str:
        """The CSRF token of the session in the cookie, for a page that was loaded again. Other sites can't read it.

        Raises:
            RefreshTokenInvalid
        """
        _token, family = await self._read_cookie(session)
        if family is None or family.ended_at is not None:
            raise RefreshTokenInvalid
        return self.csrf_token(family.id)

    async def _read_cookie(self, session: AsyncSession) -> tuple[str, SessionRow | None]:
        token = self.cookie or ""
        if not opaque.is_well_formed(opaque.REFRESH, token):
            return token, None
        return token, await repository.by_token(session, opaque.digest(token))

    def csrf_token(self, session_id: UUID) -> str:
        """What goes with the cookie of that session."""
        return _spell(self._keyring.mac(Purpose.CSRF, session_id.bytes))

    def _csrf_fault(self, session_id: UUID) -> str | None:
        """Why the request may not use the cookie of that session, a word for the log; None where it may."""
        if self.request.headers.get("Origin") not in {self._settings.public_url, *self._settings.cors_origins}:
            return "origin"
        given = self.request.headers.get(CSRF_HEADER, "").encode()
        valid = [_spell(mac).encode() for mac in self._keyring.macs(Purpose.CSRF, session_id.bytes)]
        return None if any(hmac.compare_digest(given, one) for one in valid) else "token"

    @property
    def _settings(self) -> AuthSettings:
        settings: AuthSettings = self.request.app.state.settings
        return settings

    @property
    def _keyring(self) -> Keyring:
        keyring: Keyring = self.request.app.state.keyring
        return keyring

    @property
    def _is_secure(self) -> bool:
        return self._settings.public_url.startswith("https:")


async def _transport(request: Request, response: Response) -> Transport:
    return Transport(request, response)


cookie_scheme = APIKeyCookie(
    name=f"__Secure-{_NAME}",
    scheme_name="RefreshCookie",
    auto_error=False,
    description="The refresh token of a session that was begun with `carry: cookie`. Send `X-CSRF-Token` with it.",
)


async def leaving(
    request: Request,
    needed: SecurityScopes,
    _credentials: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)],
    _cookie: Annotated[str | None, Security(cookie_scheme)],
    transport: Annotated[Transport, Depends(_transport)],
) -> Principal | None:
    """Who signs out; None where only the cookie can tell.

    Raises:
        Unauthenticated: there is neither a valid token nor a cookie. Forbidden: the token is a machine's.
    """
    if transport.cookie is not None and not has_credentials(request):
        return None
    return await authorise(request, needed)


CurrentTransport = Annotated[Transport, Depends(_transport)]


def _spell(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
