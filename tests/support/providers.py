"""A real OpenID Connect provider in a process of its own, and a browser that goes there and back."""

import asyncio
import base64
import hashlib
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from fluxprint_local.ports import free_port
from fluxprint_local.process import Process
from support.auth import Auth, Person
from support.servers import started

PUBLIC_URL = "https://print.example.org"
APP = "https://app.example.org/signed-in"
#: As in production: the cookies have the prefix that only TLS allows.
SETTINGS: dict[str, Any] = {"public_url": PUBLIC_URL, "cors_origins": ("https://app.example.org",)}


@dataclass
class OidcServer:
    """The provider: `oidc-provider-mock`, which signs with RS256 and knows whoever a test says there is."""

    url: str
    http: httpx.AsyncClient

    async def knows(self, subject: str, **claims: object) -> None:
        """There is somebody at the provider."""
        answer = await self.http.put(f"/users/{subject}", json=claims)
        assert answer.status_code == 204, answer.text

    async def sign_in(self, address: str, subject: str, *, action: str = "") -> str:
        """Somebody signs in on the provider's page; where it sends the browser."""
        answer = await self.http.post(address, data={"sub": subject, "action": action})
        assert answer.status_code == 302, answer.text
        return str(answer.headers["Location"])


@asynccontextmanager
async def running_provider(folder: Path) -> AsyncIterator[OidcServer]:
    """The provider on a free port of loopback until the block ends."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:

        async def is_ready() -> bool:
            try:
                return (await http.get("/.well-known/openid-configuration")).status_code == 200
            except httpx.TransportError:
                return False

        process = Process(
            name="oidc-provider",
            command=[sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"],
            is_ready=is_ready,
        )
        async with started(process, folder / "oidc-provider.log"):
            yield OidcServer(url, http)


def settings_for(url: str, **changed: Any) -> dict[str, Any]:
    """Settings with that provider as `oidc`."""
    return {
        **SETTINGS,
        "provider_oidc_issuer": url,
        "provider_oidc_client_id": "fluxprint",
        "provider_oidc_client_secret": "a secret of the provider",
        **changed,
    }


@dataclass
class Journey:
    """A browser and the page in it, on the way to a provider and back."""

    auth: Auth
    name: str = "oidc"
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def challenge(self) -> str:
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()

    async def start(self, **parameters: str) -> httpx.Response:
        parameters = parameters or {"return_to": APP, "code_challenge": self.challenge}
        return await self._get(f"/auth/providers/{self.name}/start", parameters)

    async def set_out(self, **parameters: str) -> str:
        """Where the browser is led."""
        answer = await self.start(**parameters)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["Location"])

    async def arrive(self, address: str) -> httpx.Response:
        """Open the address that the provider sent the browser to."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}" == PUBLIC_URL
        path = parts.path.removeprefix("/api/v1")
        return await self._get(path, {name: values[0] for name, values in parse_qs(parts.query).items()})

    async def come_back(self, address: str) -> dict[str, str]:
        """What the page learns when the browser comes back to it."""
        answer = await self.arrive(address)
        assert answer.status_code == 303, answer.text
        parts = urlsplit(answer.headers["Location"])
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == APP
        return {name: values[0] for name, values in parse_qs(parts.query).items()}

    async def redeem(self, code: str, **changed: str) -> httpx.Response:
        body = {"code": code, "code_verifier": self.verifier} | changed
        return await self.auth.post("/auth/providers/token", body)

    async def sign_in(self, provider: OidcServer, subject: str) -> httpx.Response:
        """The whole way."""
        address = await provider.sign_in(await self.set_out(), subject)
        return await self.redeem((await self.come_back(address))["code"])

    async def link(self, provider: OidcServer, subject: str, person: Person) -> httpx.Response:
        """The whole way of linking."""
        return await self.confirm_link(await self.link_code(provider, subject, person), person)

    async def link_code(self, provider: OidcServer, subject: str, person: Person) -> str:
        """What the page learns when somebody comes back from linking."""
        ticket = await self.link_ticket(person)
        address = await provider.sign_in(await self.set_out(ticket=ticket), subject)
        return (await self.come_back(address))["code"]

    async def link_ticket(self, person: Person) -> str:
        """What a browser sets out with to link."""
        body = {"return_to": APP, "code_challenge": self.challenge}
        answer = await self.auth.post(f"/auth/providers/{self.name}/link", body, headers=person.headers)
        assert answer.status_code == 201, answer.text
        return str(parse_qs(urlsplit(answer.json()["start_url"]).query)["ticket"][0])

    async def confirm_link(self, code: str, person: Person) -> httpx.Response:
        body = {"code": code, "code_verifier": self.verifier}
        return await self.auth.post("/auth/identities", body, headers=person.headers)

    async def _get(self, path: str, parameters: dict[str, str]) -> httpx.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        # Its own jar would keep cookies from one journey to the next, and none of those for TLS only.
        answer = await self.auth.http.get(path, params=parameters, headers={"Cookie": cookie} if cookie else {})
        self.cookies |= dict(answer.cookies)
        for header in answer.headers.get_list("Set-Cookie"):
            name, _, rest = header.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        self.auth.http.cookies.clear()
        return answer


def somebody() -> str:
    return f"s{secrets.token_hex(6)}"


async def known(provider: OidcServer, email: object = None, **claims: object) -> str:
    """The subject of somebody whom the provider knows."""
    subject = f"subject-{id(claims)}-{asyncio.get_running_loop().time()}"
    claims = {"email": email or f"{subject}@example.org", "email_verified": True, "name": "Grace Hopper"} | claims
    await provider.knows(subject, **claims)
    return subject


async def outcome(auth: Auth, journey: Journey, provider: OidcServer) -> tuple[str, str]:
    """What the page learns, and what the audit knows."""
    address = await provider.sign_in(await journey.set_out(), somebody())
    learnt = await journey.come_back(address)
    if "code" in learnt:
        return "code", ""
    return learnt["error"], await last_reason(auth)


async def last_reason(auth: Auth) -> str:
    row = (await auth.fetch("SELECT * FROM auth.security_events ORDER BY id DESC LIMIT 1"))[0]
    assert (row["type"], row["outcome"]) == ("auth_provider_sign_in_failed", "failure")
    return str(row["reason"])
