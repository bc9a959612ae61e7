"""Accounts in production: signing keys outlive containers and secrets, and mail leaves."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from typing import Any, Self

import httpx
from aiosmtpd.smtp import SMTP, Envelope, Session

from fluxprint_local.ports import free_port
from tools.compose_check.compose import CheckFailed, Compose

Json = dict[str, Any]
AUTH = ("exec", "--no-TTY", "auth", "python", "-P", "-m", "fluxprint_auth")
MAIL_WITHIN_S = 60


class Administrator:
    """One person, who signed in once."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30)
        self._url = url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    async def sign_in(self, compose: Compose) -> None:
        """With the password that the command line gave."""
        email = f"check-{secrets.token_hex(4)}@example.org"
        credentials = {"email": email, "password": await asyncio.to_thread(compose.create_admin, email)}
        tokens = await self.send("POST", "/auth/login", json=credentials)
        self._http.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    async def is_believed(self) -> None:
        """Its access token, by auth and by another service. Raises `httpx.HTTPError`."""
        await self.send("GET", "/auth/me")
        await self.send("GET", "/printers")

    async def published_keys(self) -> list[str]:
        """The names of the signing keys."""
        return sorted(key["kid"] for key in (await self.send("GET", "/auth/jwks"))["keys"])

    async def send(self, method: str, path: str, **more: Any) -> Json:
        """A request that succeeds. Raises `httpx.HTTPError`."""
        answer = await self._http.request(method, path, **more)
        if not answer.is_success:
            raise CheckFailed(f"{method} {path}: {answer.status_code} {answer.text}")
        body: Json = answer.json()
        return body


async def recreate(compose: Compose, **variables: str) -> None:
    """A new container for the auth service, with these variables in `.env`; an empty one is taken out."""
    compose.set_variables(variables)
    await asyncio.to_thread(compose.run, "up", "--detach", "--wait", "--no-deps", "--force-recreate", "auth")


async def check_keys(compose: Compose, person: Administrator) -> None:
    """A new container, then a rotation, signs nobody out."""
    kept = await person.published_keys()
    await recreate(compose)
    if await person.published_keys() != kept:
        raise CheckFailed("a new container made another signing key")
    await person.is_believed()
    await asyncio.to_thread(compose.run, *AUTH, "rotate-signing-key")
    async with asyncio.timeout(60):
        while len(await person.published_keys()) != len(kept) + 1:
            await asyncio.sleep(0.5)
    await person.is_believed()


async def check_secret(compose: Compose, person: Administrator) -> str:
    """AUTH_SECRET is replaced as docs/deployment.md says; what `renew-secrets` said."""
    kept = await person.published_keys()
    old, new = compose.variable("AUTH_SECRET"), secrets.token_hex(32)
    await recreate(compose, AUTH_SECRET=new, AUTH_PREVIOUS_SECRET=old)
    told = await asyncio.to_thread(compose.run, *AUTH, "renew-secrets")
    await recreate(compose, AUTH_PREVIOUS_SECRET="")
    if await person.published_keys() != kept:
        raise CheckFailed("with a new AUTH_SECRET the signing keys are others")
    await person.is_believed()
    return told.strip()


async def check_mail(compose: Compose, person: Administrator, host: str, url: str) -> None:
    """An invitation arrives at a mail server outside, and its link leads to the public address."""
    guest = f"guest-{secrets.token_hex(4)}@example.org"
    port = free_port()
    async with mail_server(host, port) as arrived:
        smtp = {"AUTH_MAIL_SMTP_URL": f"smtp://{host}:{port}", "AUTH_MAIL_SMTP_STARTTLS": "off"}
        await recreate(compose, **smtp, AUTH_MAIL_FROM="FluxPrint <fluxprint@example.org>")
        await person.send("POST", "/organisations/current/invitations", json={"email": guest, "role": "viewer"})
        async with asyncio.timeout(MAIL_WITHIN_S):
            recipients, text = await arrived.get()
        if recipients != [guest] or f"{url}/" not in text:
            raise CheckFailed(f"a mail to {recipients}: {text}")
        health = await person.send("GET", "/auth/health")
        if health["mail"] != "connected":
            raise CheckFailed(f"health: {health}")
    await recreate(compose, **dict.fromkeys(smtp, ""), AUTH_MAIL_FROM="")


class _Inbox:
    def __init__(self) -> None:
        self.arrived: asyncio.Queue[tuple[list[str], str]] = asyncio.Queue()

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        mail = message_from_bytes(envelope.original_content or b"", policy=default)
        body = mail.get_body(("plain",))
        await self.arrived.put((envelope.rcpt_tos, str(body.get_content()) if body else ""))
        return "250 taken"


@asynccontextmanager
async def mail_server(host: str, port: int) -> AsyncIterator["asyncio.Queue[tuple[list[str], str]]"]:
    """One without TLS and passwords; to whom each mail went, and its text."""
    inbox = _Inbox()
    listening = await asyncio.get_running_loop().create_server(lambda: SMTP(inbox), host, port)
    try:
        yield inbox.arrived
    finally:
        listening.close()
