"""What carries a session: the body of an answer, for programs, or a cookie that no script can read, for browsers.

A browser sends the cookie by itself, whoever made the page that asks. So whatever is done with the cookie alone needs a
second thing that only our own pages can have: a token bound to the session, in a header, and the right `Origin`.
Source: OWASP Cross-Site Request Forgery Prevention (signed, session-bound tokens; verifying the origin), RFC 6265bis.
"""

import base64
import hmac
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Response

from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.sessions.carry import Carry
from fluxprint_auth.sessions.schemas import Tokens, show_tokens
from fluxprint_auth.sessions.service import TokenPair
from fluxprint_auth.settings import AuthSettings

PATH = "/api/v1/auth"
CSRF_HEADER = "X-CSRF-Token"
_NAME = "fluxprint_refresh"


@dataclass(frozen=True)
class Transport:
    """One request, and the answer to it."""

    request: Request
    response: Response
    settings: AuthSettings
    keyring: Keyring

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
        return show_tokens(pair, csrf_token=self.csrf_token(pair.session_id))

    def clear(self) -> str:
        """The header `Set-Cookie` that takes the cookie away; set on the answer, too."""
        self.response.delete_cookie(
            self.cookie_name, path=PATH, secure=self._is_secure, httponly=True, samesite="strict"
        )
        return self.response.headers["Set-Cookie"]

    @property
    def cookie(self) -> str | None:
        """The refresh token that the request's cookie holds."""
        return self.request.cookies.get(self.cookie_name)

    @property
    def cookie_name(self) -> str:
        """With the prefix that makes browsers refuse such a cookie from a page without TLS."""
        return f"__Secure-{_NAME}" if self._is_secure else _NAME

    def csrf_token(self, session_id: UUID) -> str:
        """What goes with the cookie of that session."""
        return _spell(self.keyring.mac(Purpose.CSRF, session_id.bytes))

    def csrf_fault(self, session_id: UUID) -> str | None:
        """Why the request may not use the cookie of that session, a word for the log; None where it may."""
        if self.request.headers.get("Origin") not in {self.settings.public_url, *self.settings.cors_origins}:
            return "origin"
        given = self.request.headers.get(CSRF_HEADER, "").encode()
        valid = [_spell(mac).encode() for mac in self.keyring.macs(Purpose.CSRF, session_id.bytes)]
        return None if any(hmac.compare_digest(given, one) for one in valid) else "token"

    @property
    def _is_secure(self) -> bool:
        return self.settings.public_url.startswith("https:")


async def _transport(request: Request, response: Response) -> Transport:
    return Transport(request, response, request.app.state.settings, request.app.state.keyring)


CurrentTransport = Annotated[Transport, Depends(_transport)]


def _spell(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
