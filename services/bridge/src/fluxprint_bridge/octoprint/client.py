"""OctoPrint's REST API. Every call has a time-out, and every way to fail has its class in `errors`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx
from pydantic import SecretStr, ValidationError

from fluxprint_bridge.octoprint.errors import (
    Conflict,
    KeyRefused,
    Missing,
    NotSent,
    Refused,
    Unavailable,
)
from fluxprint_bridge.octoprint.state import Job, StoredFile, read_job

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0  # a Raspberry Pi under load takes its time
LOOK_TIMEOUT_S = 10.0
UPLOAD_TIMEOUT_S = 300.0
KEEP_ALIVE_S = 300.0  # OctoPrint keeps idle connections for an hour; a warm one saves the start some milliseconds
MAX_MESSAGE_CHARS = 300


@dataclass(frozen=True)
class Session:
    """What the push socket wants to know of us. The session id is a secret."""

    user: str
    session: SecretStr


@dataclass(frozen=True)
class Account:
    """Whose key it is: `user` is None for a key that OctoPrint does not know."""

    user: str | None
    permissions: frozenset[str]


class OctoPrintClient:
    """One OctoPrint. Raises `Unavailable` or `Refused` (see `errors`), never a transport's exception.

    Their messages go to the cloud in reports and telemetry: they hold neither OctoPrint's address nor its key.
    """

    def __init__(self, url: str, api_key: SecretStr) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"X-Api-Key": api_key.get_secret_value()},
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=False,  # the printer's network is closed: its key goes through no proxy
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    # -- looking ---------------------------------------------------------------------------------------------------

    async def job(self) -> Job:
        """What the printer does right now."""
        answer = await self._json("GET", "/api/job", timeout=LOOK_TIMEOUT_S)
        try:
            return read_job(answer)
        except ValidationError as error:
            raise Unavailable(f"GET /api/job answered something else: {error.error_count()} fields differ") from None

    async def file(self, path: str) -> StoredFile | None:
        """A stored file with its SHA-1 and its history, or None when OctoPrint itself says that there is none."""
        try:
            answer = await self._json("GET", _file_url(path))
            return StoredFile.model_validate(answer)
        except Missing:
            return None
        except ValidationError as error:
            raise Unavailable(f"the description of {path} differs in {error.error_count()} fields") from None

    async def account(self) -> Account:
        """Whose key we hold and what it may: OctoPrint answers this for any key."""
        answer = await self._json("GET", "/api/currentuser")
        name, permissions = answer.get("name"), answer.get("permissions")
        return Account(
            user=name if isinstance(name, str) else None,
            permissions=frozenset(map(str, permissions)) if isinstance(permissions, list) else frozenset(),
        )

    async def login(self) -> Session:
        """Open a session for the push socket. The answer repeats the key: it is never logged."""
        answer = await self._json("POST", "/api/login", json={"passive": True})
        name, session = answer.get("name"), answer.get("session")
        if not isinstance(name, str) or not isinstance(session, str):
            raise Unavailable("POST /api/login answered without a session")
        return Session(user=name, session=SecretStr(session))

    # -- acting ----------------------------------------------------------------------------------------------------

    async def upload(self, source: Path, *, folder: str, name: str) -> str:
        """Store a file without printing it, and return the path that OctoPrint gave it. Overwrites nothing."""
        with source.open("rb") as content:
            answer = await self._json(
                "POST",
                "/api/files/local",
                data={"path": folder, "noOverwrite": "true"},
                files={"file": (name, content, "application/octet-stream")},
                timeout=httpx.Timeout(UPLOAD_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            )
        try:
            stored = answer["files"]["local"]["path"]  # type: ignore[index]
        except (KeyError, TypeError):
            raise Unavailable("the upload was answered without a path") from None
        return str(stored)

    async def select_and_print(self, path: str) -> None:
        """Press start: exactly one request. Anything but `NotSent` or `Refused` may mean that it prints."""
        await self._send("POST", _file_url(path), json={"command": "select", "print": True})

    async def pause(self) -> None:
        await self._send("POST", "/api/job", json={"command": "pause", "action": "pause"})

    async def resume(self) -> None:
        await self._send("POST", "/api/job", json={"command": "pause", "action": "resume"})

    async def cancel(self) -> None:
        await self._send("POST", "/api/job", json={"command": "cancel"})

    async def connect(self) -> None:
        """Ask OctoPrint to connect its printer; whether it did is seen in the state."""
        await self._send("POST", "/api/connection", json={"command": "connect"})

    # -- how -------------------------------------------------------------------------------------------------------

    async def _json(self, method: str, url: str, **request: object) -> dict[str, object]:
        response = await self._send(method, url, **request)
        try:
            answer = response.json()
        except ValueError:
            raise Unavailable(f"{method} {url} was answered with broken JSON") from None
        if not isinstance(answer, dict):
            raise Unavailable(f"{method} {url} was answered with something else")
        return answer

    async def _send(self, method: str, url: str, **request: object) -> httpx.Response:
        try:
            response = await self._http.request(method, url, **request)  # type: ignore[arg-type]
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"OctoPrint is not reachable ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise Unavailable(f"OctoPrint did not answer {method} {url} ({type(error).__name__})") from None
        return _checked(response)


def _checked(response: httpx.Response) -> httpx.Response:
    """Sort answers. While it boots, a stand-in owns OctoPrint's port: its 404 and 501 in HTML mean nothing."""
    status = response.status_code
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    if status == 204 or (is_json and response.is_success):
        return response
    what = f"{response.request.method} {response.request.url.path}"
    if is_json or (400 <= status < 500 and status != 404):
        raise _refusal(status, what, _error_text(response))
    if status == 501:
        raise NotSent(f"OctoPrint is still starting ({what} was answered by its stand-in)")
    raise Unavailable(f"{what} was answered with {status} and no JSON: OctoPrint is still starting")


def _refusal(status: int, what: str, message: str) -> Refused | Unavailable:
    if status == 403 or (status == 400 and "CSRF" in message):
        return KeyRefused(status, f"OctoPrint refused the API key for {what}: {message}")
    if status >= 500:
        return Unavailable(f"{what} failed inside OctoPrint with {status}: {message}")
    return {409: Conflict, 404: Missing}.get(status, Refused)(status, f"{what} was refused with {status}: {message}")


def _error_text(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return "no reason given"
    text = body.get("error") if isinstance(body, dict) else None
    return str(text or "no reason given")[:MAX_MESSAGE_CHARS]


def _file_url(path: str) -> str:
    return f"/api/files/local/{quote(path)}"
