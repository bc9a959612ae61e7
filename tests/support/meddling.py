"""Somebody between the service and its provider, who changes what the provider answers; and a forger of ID tokens."""

import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qs

import httpx
from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from fluxprint_auth.providers.base import Provider
from fluxprint_auth.providers.oidc import OidcProvider, Registration
from support.auth import Auth

CLIENT_ID = "fluxprint"
CLIENT_SECRET = "a secret of the provider, long enough for HS256"

Change = Callable[[dict[str, Any]], object]


def streamed(status: int, content: bytes = b"", **headers: str) -> httpx.Response:
    """An answer that is still to be read, as from a socket."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(content))


class Meddler(httpx.AsyncHTTPTransport):
    """Passes everything on to the real provider, and changes its answers where a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.changes: dict[str, Change] = {}
        self.answers: dict[str, Callable[[], httpx.Response]] = {}
        self.asked: list[tuple[httpx.Request, dict[str, str]]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        form = {name: values[0] for name, values in parse_qs((await request.aread()).decode()).items()}
        self.asked.append((request, form))
        if path in self.answers:
            return self.answers[path]()
        answer = await super().handle_async_request(request)
        body = json.loads(await answer.aread())
        await answer.aclose()
        if path in self.changes:
            body = self.changes[path](body)
        return streamed(answer.status_code, json.dumps(body).encode())

    def count(self, path: str) -> int:
        """How often that path was asked for."""
        return sum(request.url.path == path for request, _ in self.asked)

    def sent(self, path: str) -> tuple[httpx.Request, dict[str, str]]:
        """The last request to that path, and its form."""
        return [asked for asked in self.asked if asked[0].url.path == path][-1]


DISCOVERY, TOKEN, JWKS = "/.well-known/openid-configuration", "/oauth2/token", "/jwks"


@asynccontextmanager
async def meddled(
    auth: Auth, url: str, *, names: tuple[str, ...] = ("oidc",), **changed: Any
) -> AsyncIterator[Meddler]:
    """The service asks the provider by way of a meddler until the block ends."""
    meddler = Meddler()
    http = httpx.AsyncClient(transport=meddler, timeout=5)
    before = auth.app.state.providers
    providers: dict[str, Provider] = {}
    for name in names:
        values: dict[str, Any] = {
            "name": name, "title": name, "issuer": url, "client_id": CLIENT_ID, "secret": lambda: CLIENT_SECRET,
        }  # fmt: skip
        providers[name] = OidcProvider(Registration(**(values | changed)), http)
    auth.app.state.providers = providers
    try:
        async with http:
            yield meddler
    finally:
        auth.app.state.providers = before


@dataclass
class Forger:
    """Makes ID tokens that are right in everything but what a test changes. Its key is the one that is published."""

    issuer: str
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "published"}))
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)

    def publish(self, meddler: Meddler, *others: dict[str, Any]) -> None:
        """Have the provider publish this key (and others) instead of its own."""
        public = cast("dict[str, Any]", self.key.as_dict(private=False))
        meddler.changes[JWKS] = lambda _body: {"keys": [*others, public]}

    def replace(self, meddler: Meddler, make: Callable[[dict[str, Any]], str] | None = None) -> None:
        """Have the provider give a token of ours instead of its own, with the right nonce and the like."""

        def change(answer: dict[str, Any]) -> object:
            real = json.loads(base64.urlsafe_b64decode(answer["id_token"].split(".")[1] + "=="))
            right = {name: real[name] for name in ("sub", "nonce")}
            now = int(time.time())
            right |= {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300}
            right |= {"email": f"{real['sub']}@example.org", "email_verified": True}
            claims = {name: value for name, value in (right | self.claims).items() if value is not ...}
            return answer | {"id_token": (make or self.sign)(claims)}

        meddler.changes[TOKEN] = change

    def sign(self, claims: dict[str, Any]) -> str:
        return signed(claims, self.key, {"alg": "RS256", "kid": "published"} | self.header)


def signed(claims: dict[str, Any], key: RSAKey | ECKey, header: dict[str, Any]) -> str:
    """A compact JWS with whatever header."""
    registry = jws.JWSRegistry(strict_check_header=False, algorithms=[header["alg"]])
    return jws.serialize_compact(header, json.dumps(claims).encode(), key, registry=registry)


def by_hand(claims: dict[str, Any], header: dict[str, Any], signature: str = "") -> str:
    """Segments that no library would make."""
    return f"{_unsigned(claims, header)}.{signature}"


def with_secret(claims: dict[str, Any], header: dict[str, Any], secret: bytes) -> str:
    """A token with an HMAC, of a secret that a library might refuse to use as one."""
    unsigned = _unsigned(claims, header)
    return f"{unsigned}.{_base64(hmac.digest(secret, unsigned.encode(), 'sha256'))}"


def _unsigned(claims: dict[str, Any], header: dict[str, Any]) -> str:
    return ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
