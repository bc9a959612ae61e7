"""A service as small as one can be, put together like the real ones: for tests of what they have in common."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from asgi_lifespan import LifespanManager
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fluxprint_common.ids import new_id, show
from fluxprint_common.service import ServiceSpec, create_service
from fluxprint_common.settings import Environment, ServiceSettings
from fluxprint_common.tokens import SigningKey

ISSUER = "fluxprint"
AUDIENCE = "fluxprint-api"
NOWHERE = "postgresql+asyncpg://nobody:8d3f6a1c9b2e4d7f0a5c8e1b3d6f9a2c@127.0.0.1:1/nowhere"


class SmallSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SMALL_")

    limit_greetings: str = "2/minute"


def settings_of(
    *,
    database_url: str = NOWHERE,
    redis_url: str | None = None,
    jwks_url: str = "http://127.0.0.1:1/jwks",
    environment: Environment = Environment.TEST,
    cors_origins: tuple[str, ...] = (),
) -> SmallSettings:
    return SmallSettings(
        environment=environment,
        port=0,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(redis_url) if redis_url else None,
        jwks_url=jwks_url,
        cors_origins=cors_origins,
        database_pool_size=3,
    )


def small_service(router: APIRouter, settings: ServiceSettings | None = None, **spec: Any) -> FastAPI:
    """The application; its name is that of a package that is always there."""
    return create_service(
        ServiceSpec(name="common", description="For tests", tags={"small": "Small"}, routers=[router], **spec),
        settings or settings_of(),
    )


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client without a socket between; what the application raises is answered as a server would."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://small.test"
    )


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application while its lifespan is on."""
    async with LifespanManager(app), client_of(app) as client:
        yield client


def new_key_pem() -> str:
    return (
        ec.generate_private_key(ec.SECP256R1())
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


@dataclass
class Issuer:
    """Signs tokens like the auth service and publishes its keys at `/jwks`, counting who asks."""

    keys: list[SigningKey] = field(default_factory=lambda: [SigningKey(new_key_pem())])
    asked: int = 0
    away: bool = False
    answer: object = None

    @property
    def key(self) -> SigningKey:
        return self.keys[0]

    @property
    def app(self) -> Starlette:
        async def jwks(_request: Request) -> Response:
            self.asked += 1
            if self.away:
                return Response(status_code=503)
            return JSONResponse(self.answer or {"keys": [key.public_jwk for key in self.keys]})

        return Starlette(routes=[Route("/jwks", jwks)])

    def http(self) -> httpx.AsyncClient:
        """A client that reaches this issuer under any host."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app))

    def token(
        self, changed: Mapping[str, object] | None = None, *, without: Sequence[str] = (), **claims: object
    ) -> str:
        """An access token, with some claims replaced or left out."""
        full = {**access_claims(), **(changed or {}), **claims}
        return self.key.sign({name: value for name, value in full.items() if name not in without})


def access_claims(**changed: object) -> Mapping[str, object]:
    """What the claims of a good access token look like."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": show("user", new_id()),
        "exp": now + 900,
        "iat": now,
        "jti": new_id().hex,
        "sid": show("session", new_id()),
        "org": show("org", new_id()),
        "role": "editor",
        "scope": "",
        **changed,
    }
