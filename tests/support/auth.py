"""The real auth service on a real database, and people who use it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
from asgi_lifespan import LifespanManager
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import FastAPI
from pydantic import SecretStr

from fluxprint_auth.app import create_app
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.settings import Environment
from support.servers import Database

PASSWORD = "a long enough secret"
ORIGIN = "http://auth.test"


def new_key_pem() -> str:
    """A signing key."""
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


SIGNING_KEY = new_key_pem()


def settings_of(database_url: str, **changed: Any) -> AuthSettings:
    """Settings as in production, but with cheap hashes and, unless asked for, without rate limits."""
    values: dict[str, Any] = {
        "environment": Environment.TEST,
        "port": 0,
        "database_url": SecretStr(database_url),
        "signing_key": SecretStr(SIGNING_KEY),
        "rate_limits_enabled": False,
    }
    settings = AuthSettings(**(values | changed))
    cheap = {} if "argon2_memory_kib" in changed else {"argon2_memory_kib": 64}  # below what a deployment may have
    return settings.model_copy(update=cheap)


@dataclass
class Person:
    """Somebody with an account, signed in."""

    email: str
    tokens: dict[str, Any]
    password: str = PASSWORD
    organisation: dict[str, Any] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens['access_token']}"}


@dataclass
class Auth:
    """The service, a client of it, and a look into its database that the service itself does not have."""

    app: FastAPI
    http: httpx.AsyncClient
    database: Database
    owner: asyncpg.Pool  # of connections as the owner of the database

    async def post(self, path: str, body: object = None, **options: Any) -> httpx.Response:
        return await self.http.post(path, json=body, **options)

    async def register(self, email: str | None = None, **changed: Any) -> Person:
        """A new person who owns a new organisation."""
        email = email or f"{secrets.token_hex(6)}@example.org"
        answer = await self.post("/auth/register", registration(email, **changed))
        assert answer.status_code == 201, answer.text
        body = answer.json()
        return Person(email, body["tokens"], organisation=body["organisation"])

    async def add_member(self, owner: Person, role: str) -> Person:
        """A new person in the owner's organisation."""
        email = f"{role}-{secrets.token_hex(6)}@example.org"
        body = {"email": email, "name": role, "role": role, "password": PASSWORD}
        answer = await self.post("/organisations/current/members", body, headers=owner.headers)
        assert answer.status_code == 201, answer.text
        return Person(email, await self.log_in(email), organisation=owner.organisation)

    async def log_in(self, email: str, password: str = PASSWORD) -> dict[str, Any]:
        answer = await self.post("/auth/login", {"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def refresh(self, token: str) -> httpx.Response:
        return await self.post("/auth/refresh", {"refresh_token": token})

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """What the owner of the database sees."""
        return list(await self.owner.fetch(query, *arguments))

    async def value(self, query: str, *arguments: object) -> Any:
        return (await self.fetch(query, *arguments))[0][0]

    async def events(self) -> list[str]:
        """The types of the security events so far."""
        return [row["type"] for row in await self.fetch("SELECT type FROM auth.security_events ORDER BY id")]


def registration(email: object, **changed: object) -> dict[str, Any]:
    """The body of a registration."""
    body = {"email": email, "password": PASSWORD, "name": "Ada Lovelace", "organisation_name": "Analytical Engines"}
    return body | changed


def client_of(app: FastAPI, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """A client at that address, without a socket between; what the application raises is a 500, as from a server."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4321))
    return httpx.AsyncClient(transport=transport, base_url=f"{ORIGIN}/api/v1", timeout=30)


@asynccontextmanager
async def running_auth(database: Database, **settings: Any) -> AsyncIterator[Auth]:
    """The service as its own database role, until the block ends."""
    app = create_app(settings_of(database.url_for("auth"), **settings))
    async with LifespanManager(app), client_of(app) as http, database.as_owner() as owner:
        yield Auth(app, http, database, owner)


async def at_once(times: int, request: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    """The answers to that many equal requests, all sent before the first is answered."""
    return await asyncio.gather(*(patiently(request) for _ in range(times)))


async def patiently(request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    """The answer of a request that is sent again while a busy machine makes the service say 503."""
    async with asyncio.timeout(60):
        while (answer := await request()).status_code == 503:
            await asyncio.sleep(0.1)
    return answer
