"""What the auth service is to the other services: access tokens and the published keys they are checked with.

Import the fixture where it is used: `from support.tokens import issuer` in the folder's `conftest.py`.
"""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fluxprint_common import standing
from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import PERSONAL, ROLE_PERMISSIONS, Permission, Role, Via
from fluxprint_common.tokens import SigningKey

ISSUER = "fluxprint"
AUDIENCE = "fluxprint-api"
ACCESS_TOKEN_S = 900


class Issuer:
    """Signs tokens as the auth service does.

    Attributes:
        jwks_url: where the key is published, for `FLUXPRINT_JWKS_URL`.
        standings: what sessions, keys and members may do now, by their ids; None: they are gone.
    """

    def __init__(self, *, jwks_url: str) -> None:
        self.key = new_signing_key()
        self.jwks_url = jwks_url
        self.standings: dict[UUID, frozenset[Permission] | None] = {}
        self.is_away = False

    def standing(self, ground: Mapping[str, str | None]) -> Mapping[str, object] | None:
        """What auth says of a session, a key or a member: everything, unless `standings` says something else."""
        asked = ground["session_id"] or ground["api_key_id"] or ground["user_id"]
        permissions = self.standings.get(UUID(asked), ROLE_PERMISSIONS[Role.OWNER])
        return None if permissions is None else {"permissions": sorted(permissions), "printers": None}

    @contextmanager
    def away(self) -> Iterator[None]:
        """Auth does not say how anything stands."""
        self.is_away = True
        try:
            yield
        finally:
            self.is_away = False

    def user_token(
        self,
        *,
        organisation: UUID,
        role: Role = Role.EDITOR,
        user: UUID | None = None,
        session: UUID | None = None,
        scope: str = "",
        lifetime_s: int = ACCESS_TOKEN_S,
    ) -> str:
        """A person's access token; with a negative lifetime one that has ended."""
        subject = show("user", user or new_id())
        return self._token(subject, organisation, role, session or new_id(), scope, lifetime_s)

    def key_token(
        self,
        *,
        organisation: UUID,
        printers: Collection[UUID] | None,
        role: Role = Role.OWNER,
        user: UUID | None = None,
        key: UUID | None = None,
        scope: str = "",
    ) -> str:
        """What an API key is exchanged for; without `scope` with everything that keys of that role can have."""
        claims: dict[str, object] = {"via": Via.API_KEY.value}
        if printers is not None:
            claims["printers"] = [show("printer", printer) for printer in printers]
        scope = scope or " ".join(ROLE_PERMISSIONS[role] - PERSONAL)
        return self._token(
            show("user", user or new_id()), organisation, role, key or new_id(), scope, ACCESS_TOKEN_S, claims
        )

    def bridge_token(
        self, *, organisation: UUID, bridge: UUID, session: UUID | None = None, lifetime_s: int = ACCESS_TOKEN_S
    ) -> str:
        """A bridge's access token."""
        return self._token(show("bridge", bridge), organisation, Role.BRIDGE, session or new_id(), "", lifetime_s)

    def _token(
        self,
        subject: str,
        organisation: UUID,
        role: Role,
        session: UUID,
        scope: str,
        lifetime_s: int,
        more: Mapping[str, object] | None = None,
    ) -> str:
        now = int(time.time())
        return self.key.sign(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": subject,
                "iat": min(now, now + lifetime_s - 1),
                "exp": now + lifetime_s,
                "jti": secrets.token_hex(16),
                "sid": show("session", session),
                "org": show("org", organisation),
                "role": role.value,
                "scope": scope,
                **(more or {}),
            }
        )


def new_signing_key() -> SigningKey:
    """A fresh P-256 key."""
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return SigningKey(pem.decode())


def bearer(token: str) -> dict[str, str]:
    """The header that carries an access token."""
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    """An issuer whose keys are served on loopback."""
    document = b""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(document)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != standing.PATH or made.is_away:
                self.send_error(503)
                return
            self.answer(json.dumps({"standings": [made.standing(ground) for ground in body["grounds"]]}).encode())

        def answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Keys) as server:
        made = Issuer(jwks_url=f"http://127.0.0.1:{server.server_port}/jwks.json")
        document = json.dumps({"keys": [made.key.public_jwk]}).encode()
        serving = asyncio.create_task(asyncio.to_thread(server.serve_forever, 0.05))
        try:
            yield made
        finally:
            server.shutdown()
            await serving
