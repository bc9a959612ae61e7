"""OctoPrint's REST API. Calls have a time-out, answers a size, and each way to fail its class in `errors`."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Self
from urllib.parse import quote

import httpx
from pydantic import SecretStr, ValidationError

from fluxprint_bridge.octoprint.errors import (
    Conflict,
    Failed,
    KeyRefused,
    Missing,
    NotSent,
    OctoPrintError,
    Refused,
    Unavailable,
    Unreadable,
)
from fluxprint_bridge.octoprint.log import LogTooLong, LogTrace, trace_of
from fluxprint_bridge.octoprint.state import Entry, Folder, Job, Prints, StoredFile, path_of, read_job, text_of
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 30.0  # a Raspberry Pi under load takes its time; for a whole answer, however it comes
LOOK_TIMEOUT_S = 10.0
UPLOAD_TIMEOUT_S = 300.0  # without anything moving
UPLOAD_TOTAL_S = 3600.0
LOG_TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 1024 * 1024
MAX_LIST_BYTES = 8 * 1024 * 1024  # some thousand files
MAX_FOLDERS = 1000
_WITHOUT_EFFECT = frozenset({400, 403, 404, 409, 415})  # what OctoPrint answers before it does anything
KEEP_ALIVE_S = 300.0  # OctoPrint keeps idle connections for an hour; a warm one saves the start some milliseconds


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


@dataclass(frozen=True)
class _Answer:
    what: str  #: was asked
    status: int
    is_json: bool
    body: bytes

    def json(self) -> object:
        """Raises `ValueError`."""
        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("nested too deeply") from None


class OctoPrintClient:
    """One OctoPrint. Raises `Unavailable` or `Refused` (see `errors`), never a transport's exception.

    Their messages go to the cloud in reports and telemetry: they hold neither OctoPrint's address nor its key.
    """

    def __init__(self, url: str, api_key: SecretStr) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            # What it sends is counted: a few kilobytes that unpack to gigabytes would not be noticed in time.
            headers={"X-Api-Key": api_key.get_secret_value(), "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),  # none: they would be kept for ever
            timeout=httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=KEEP_ALIVE_S),
            trust_env=False,  # the printer's network is closed: its key goes through no proxy
            verify=_authorities(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._http.aclose()

    # -- looking ---------------------------------------------------------------------------------------------------

    async def job(self) -> Job:
        """What the printer does right now."""
        answer = await self._json("GET", "/api/job", within_s=LOOK_TIMEOUT_S)
        try:
            return read_job(answer)
        except ValidationError as error:
            raise Unavailable(f"GET /api/job answered something else: {error.error_count()} fields differ") from None

    async def file(self, path: str) -> StoredFile | None:
        """A stored file with its SHA-1 and its history, or None when OctoPrint itself says twice that there is none.

        It answers from its list of the folder. One that was read while the file came stays without it until something
        else there changes; the list with all that is below the folder is another one.
        """
        for query in ("", "?recursive=true"):
            try:
                return StoredFile.model_validate(await self._json("GET", f"{_file_url(path)}{query}"))
            except Missing:
                continue
            except ValidationError as error:
                raise Unavailable(f"the description of {path} differs in {error.error_count()} fields") from None
        return None

    async def find(self, path: str) -> StoredFile | None:
        """The same where the folder may be missing: of what would be in it OctoPrint says that it failed, for good.

        Storage that is away for a while looks the same, so this is not for who would press start by a None.
        """
        try:
            return await self.file(path)
        except Failed as failed:
            if failed.status == 500 and await self.lacks_folder_of(path):
                return None
            raise

    async def lacks_folder_of(self, path: str) -> bool:
        """Whether OctoPrint itself says that there is no folder in which `path` could be."""
        return await self._is_missing(path.rpartition("/")[0])

    async def _is_missing(self, folder: str) -> bool:
        """Whether OctoPrint itself says twice that there is no such folder, or of one above it."""
        if not folder:
            return False
        if await self._is_missing(folder.rpartition("/")[0]):
            return True
        for query in ("", "?recursive=true"):
            try:
                await self._json("GET", f"{_file_url(folder)}{query}", max_bytes=MAX_LIST_BYTES)
            except Missing:
                continue
            return False
        return True

    async def printed_since(self, moment: float) -> AsyncGenerator[tuple[str, Prints], None]:
        """Files whose newest print ended after `moment`, in seconds since 1970 by OctoPrint's clock.

        A folder of so many files that its list is too large is passed over, or nothing would ever be printed again.
        """
        folders = [""]
        for _ in range(MAX_FOLDERS):
            if not folders:
                break
            folder = folders.pop()
            try:
                entries = await self.folder(folder) or []
            except Unreadable as error:
                log.warning("folder_not_looked_through", folder=folder, error=str(error)[:300])
                continue
            for entry in entries:
                path = f"{folder}/{entry.name}".removeprefix("/")
                if entry.type == "folder":
                    folders.append(path)
                elif entry.prints.last is not None and (entry.prints.last.ended_at or 0) > moment:
                    yield path, entry.prints

    async def folder(self, path: str) -> list[Entry] | None:
        """What OctoPrint lists in a folder, or None when it says that there is none. It does not look below that."""
        try:
            answer = await self._json("GET", _file_url(path), max_bytes=MAX_LIST_BYTES)
            return Folder.model_validate(answer).children
        except Missing:
            return None
        except ValidationError as error:
            raise Unreadable(f"the list of {path} differs in {error.error_count()} fields") from None

    async def log_trace(self, path: str) -> LogTrace | None:
        """What OctoPrint's log of today tells of a print; None where it can't be read: that takes a permission.

        It never raises: the log only helps.
        """
        try:
            async with asyncio.timeout(LOG_TIMEOUT_S), self._asked("GET", "/downloads/logs/octoprint.log") as response:
                if not response.is_success or not response.headers.get("Content-Type", "").startswith("text/plain"):
                    return None
                return await trace_of(path, response.aiter_raw())
        except (OctoPrintError, httpx.HTTPError, TimeoutError, LogTooLong):
            return None

    async def account(self) -> Account:
        """Whose key we hold and what it may: OctoPrint answers this for any key."""
        answer = await self._json("GET", "/api/currentuser")
        name, permissions = answer.get("name"), answer.get("permissions")
        return Account(
            user=text_of(name),
            permissions=frozenset(name for name in permissions if isinstance(name, str))
            if isinstance(permissions, list)
            else frozenset(),
        )

    async def settings(self) -> dict[str, object]:
        """OctoPrint's settings, as far as the key may read them: it takes the permission Settings Read."""
        return await self._json("GET", "/api/settings", within_s=LOOK_TIMEOUT_S)

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
                within_s=UPLOAD_TOTAL_S,
                timeout=httpx.Timeout(UPLOAD_TIMEOUT_S, connect=CONNECT_TIMEOUT_S),
            )
        try:
            stored = path_of(answer["files"]["local"]["path"])  # type: ignore[index]
        except (KeyError, TypeError):
            stored = None
        if stored is None:
            raise Unavailable("the upload was answered without a path")
        return stored

    async def remove(self, path: str) -> None:
        """Delete a file, or a folder with all that is in it; what is gone already is fine."""
        with contextlib.suppress(Missing):
            await self._send("DELETE", _file_url(path))

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

    async def _json(
        self,
        method: str,
        url: str,
        *,
        within_s: float = READ_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
        **request: object,
    ) -> dict[str, object]:
        reply = await self._send(method, url, within_s=within_s, max_bytes=max_bytes, **request)
        try:
            answer = reply.json()
        except ValueError:
            raise Unavailable(f"{method} {url} was answered with broken JSON") from None
        if not isinstance(answer, dict):
            raise Unavailable(f"{method} {url} was answered with something else")
        return answer

    async def _send(
        self,
        method: str,
        url: str,
        *,
        within_s: float = READ_TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
        **request: object,
    ) -> _Answer:
        """Ask and read the answer. One that is too large or not there `within_s` is none: it may have been heard."""
        what = f"{method} {url}"
        body = bytearray()
        try:
            async with asyncio.timeout(within_s), self._asked(method, url, **request) as response:
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > max_bytes:
                        raise Unreadable(f"OctoPrint answered {what} with more than {max_bytes} bytes")
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotSent(f"OctoPrint is not reachable ({type(error).__name__})") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(f"OctoPrint did not answer {what} ({type(error).__name__})") from None
        is_json = response.headers.get("Content-Type", "").startswith("application/json")
        return _checked(_Answer(what, response.status_code, is_json, bytes(body)))

    @asynccontextmanager
    async def _asked(self, method: str, url: str, **request: object) -> AsyncIterator[httpx.Response]:
        """The head of an answer, its body unread and not packed. Raises `Unavailable` and what httpx raises."""
        async with self._http.stream(method, url, **request) as response:  # type: ignore[arg-type]
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise Unavailable(f"OctoPrint answered {method} {url} in an encoding that it was not asked for")
            yield response


@cache
def _authorities() -> ssl.SSLContext:
    """One for all printers: loading them anew takes half a megabyte and a good part of a client's start."""
    return httpx.create_ssl_context(trust_env=False)


def _checked(answer: _Answer) -> _Answer:
    """Sort answers. While it boots, a stand-in owns OctoPrint's port: its 404 and 501 in HTML mean nothing."""
    status, what = answer.status, answer.what
    if status == 204 or (answer.is_json and 200 <= status < 300):
        return answer
    if answer.is_json or (400 <= status < 500 and status != 404):
        raise _refusal(answer)
    if status == 501:
        raise NotSent(f"OctoPrint is still starting ({what} was answered by its stand-in)")
    raise Unavailable(f"{what} was answered with {status} and no JSON: OctoPrint is still starting")


def _refusal(answer: _Answer) -> Refused | Failed:
    status, what, message = answer.status, answer.what, _error_text(answer)
    if status >= 500:
        return Failed(status, f"{what} failed inside OctoPrint with {status}: {message}")
    had_no_effect = answer.is_json and status in _WITHOUT_EFFECT
    if status == 403 or (status == 400 and "CSRF" in message):
        return KeyRefused(status, f"OctoPrint refused the API key for {what}: {message}", had_no_effect=had_no_effect)
    refusal = {409: Conflict, 404: Missing}.get(status, Refused)
    return refusal(status, f"{what} was refused with {status}: {message}", had_no_effect=had_no_effect)


def _error_text(answer: _Answer) -> str:
    try:
        body = answer.json()
    except ValueError:
        body = None
    return (text_of(body.get("error")) if isinstance(body, dict) else None) or "no reason given"


def _file_url(path: str) -> str:
    return f"/api/files/local/{quote(path)}".removesuffix("/")
