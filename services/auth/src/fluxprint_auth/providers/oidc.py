"""Providers that speak OpenID Connect: Google, Apple, and any other by its discovery document.

Source: OpenID Connect Core 1.0 and Discovery 1.0; RFC 9207 (`iss` of the answer).
"""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from authlib.oauth2.auth import ClientAuth
from joserfc import jwt
from joserfc.jwk import ECKey

from fluxprint_auth.providers import id_tokens
from fluxprint_auth.providers.base import Answer, Profile, Trip, authorisation_address, kept_tokens, token_request
from fluxprint_auth.providers.http import ProviderFailed, ask_for_object, is_safe

DISCOVERY_KEPT_S = 3600.0
ASK_AGAIN_AFTER_S = 5.0
APPLE_ISSUER = "https://appleid.apple.com"
_SECRET_LIVES_S = 300
_BASIC, _POST = "client_secret_basic", "client_secret_post"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What we are to a provider.

    Attributes:
        secret: called for each request: Apple's is made anew each time.
        more: parameters of the authorisation request beside the usual ones.
        posts_back: whether the answer comes as a form.
    """

    name: str
    title: str
    issuer: str
    client_id: str
    secret: Callable[[], str]
    scope: str = "openid email profile"
    posts_back: bool = False


@dataclass(frozen=True)
class _Metadata:
    authorisation: str
    token: str
    keys: str
    auth_method: str
    names_itself: bool
    read_at: float


class OidcProvider:
    """A provider by its issuer. Nothing is asked of it before somebody signs in."""

    def __init__(self, registration: Registration, http: httpx.AsyncClient) -> None:
        self.name = registration.name
        self.title = registration.title
        self.posts_back = registration.posts_back
        self._registration = registration
        self._http = http
        self._keys = id_tokens.ProviderKeys(http)
        self._metadata: _Metadata | None = None
        self._failed_at: float | None = None
        self._lock = asyncio.Lock()

    async def address(self, trip: Trip, *, redirect_uri: str) -> str:
        metadata = await self._discover()
        registration = self._registration
        more = {"response_mode": "form_post"} if registration.posts_back else {}
        return authorisation_address(
            metadata.authorisation,
            client_id=registration.client_id,
            redirect_uri=redirect_uri,
            scope=registration.scope,
            trip=trip,
            nonce=trip.nonce,
            **more,
        )

    async def profile(self, answer: Answer, trip: Trip, *, redirect_uri: str) -> Profile:
        registration, metadata = self._registration, await self._discover()
        if (answer.issuer or metadata.names_itself) and answer.issuer != registration.issuer:
            raise ProviderFailed("mixed_up_issuer")
        tokens = await self._redeem(metadata, token_request(answer, trip, redirect_uri=redirect_uri))
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise ProviderFailed("no_id_token")
        claims = await id_tokens.verify(
            id_token,
            self._keys,
            keys_url=metadata.keys,
            issuer=registration.issuer,
            client_id=registration.client_id,
            nonce=trip.nonce,
            access_token=access_token if isinstance(access_token, str) else None,
        )
        email = claims.get("email")
        return Profile(
            provider=self.name,
            subject=str(claims["sub"]),
            email=email if isinstance(email, str) else None,
            email_verified=claims.get("email_verified") in (True, "true"),  # Apple writes it as text
            name=_name(claims, answer),
            tokens=kept_tokens(tokens),
        )

    async def _redeem(self, metadata: _Metadata, body: str) -> dict[str, object]:
        registration = self._registration
        client = ClientAuth(registration.client_id, registration.secret(), metadata.auth_method)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = client.prepare("POST", metadata.token, form, body)
        return await ask_for_object(self._http, "POST", url, headers=headers, body=body)

    async def _discover(self) -> _Metadata:
        async with self._lock:  # those who come meanwhile wait for the one answer, and are not each made to wait anew
            now, known = time.monotonic(), self._metadata
            if known is None or now - known.read_at > DISCOVERY_KEPT_S:
                if self._failed_at is not None and now - self._failed_at < ASK_AGAIN_AFTER_S:
                    raise ProviderFailed("no_answer", is_away=True)
                known = self._metadata = await self._read_again()
            return known

    async def _read_again(self) -> _Metadata:
        try:
            metadata = await self._read_metadata()
        except ProviderFailed:
            self._failed_at = time.monotonic()
            raise
        self._failed_at = None
        return metadata

    async def _read_metadata(self) -> _Metadata:
        issuer = self._registration.issuer
        document = await ask_for_object(self._http, "GET", f"{issuer}/.well-known/openid-configuration")
        if document.get("issuer") != issuer:  # or another's answers would be believed as this one's
            raise ProviderFailed("discovery_issuer")
        endpoints = [document.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
        urls = [endpoint for endpoint in endpoints if isinstance(endpoint, str) and is_safe(endpoint, like=issuer)]
        if len(urls) != len(endpoints):
            raise ProviderFailed("discovery_endpoints")
        methods = document.get("token_endpoint_auth_methods_supported", [_BASIC])
        method = _BASIC if isinstance(methods, list) and _BASIC in methods else _POST
        names_itself = document.get("authorization_response_iss_parameter_supported") is True
        authorisation, token, keys = urls
        return _Metadata(authorisation, token, keys, method, names_itself, time.monotonic())


def _name(claims: id_tokens.Claims, answer: Answer) -> str | None:
    name = claims.get("name")
    if isinstance(name, str):
        return name
    try:  # not signed: good for a name, for nothing else
        parts = json.loads(answer.user or "{}")["name"]
        return " ".join(part for key in ("firstName", "lastName") if isinstance(part := parts.get(key), str)) or None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def apple_secret(*, client_id: str, team_id: str, key_id: str, key: str) -> Callable[[], str]:
    """Apple's client secret: a JWT that we sign with the key that Apple gave us.

    Raises:
        ValueError: it is no such key.
    """
    try:
        private = ECKey.import_key(key)
        is_fit = private.is_private and private.curve_name == "P-256"
    except ValueError:
        is_fit = False
    if not is_fit:
        raise ValueError("not a private EC key on P-256, as Apple gives it (.p8)")

    def make() -> str:
        now = int(time.time())
        claims = {"iss": team_id, "sub": client_id, "aud": APPLE_ISSUER, "iat": now, "exp": now + _SECRET_LIVES_S}
        return jwt.encode({"alg": "ES256", "kid": key_id}, claims, private, algorithms=["ES256"])

    return make
