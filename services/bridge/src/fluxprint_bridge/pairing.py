"""`python -m fluxprint_bridge pair`: get an identity by showing a code that a person confirms.

Source: RFC 8628 (device authorization grant).
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from pydantic import BaseModel, Field, SecretStr, ValidationError

from fluxprint_bridge import __version__, clock, identity
from fluxprint_bridge.settings import CloudSettings

TIMEOUT_S = 20.0
SLOWER_BY_S = 5.0
MAX_PAUSE_S = 60.0

Say = Callable[[str], None]
Sleep = Callable[[float], Awaitable[None]]


class PairingFailed(Exception):
    """The bridge has no identity yet; the message says why and what to do."""


class _Started(BaseModel):
    device_code: SecretStr
    user_code: str = Field(max_length=50)
    verification_url: str = Field(max_length=1000)
    expires_in_s: float = Field(gt=0, le=86_400)
    interval_s: float = Field(gt=0, le=300)


class _Paired(BaseModel):
    name: str = Field(max_length=200)
    bridge_token: SecretStr


async def pair(
    settings: CloudSettings, *, replace: bool = False, say: Say = print, sleep: Sleep = asyncio.sleep
) -> Path:
    """Show a code, wait for a person to confirm it, and keep the token; the file that holds it.

    Args:
        replace: whether an identity that is there already may go.

    Raises:
        PairingFailed
    """
    try:
        if not replace and identity.read(settings.data_dir) is not None:
            raise PairingFailed(
                f"this bridge was paired before ({settings.data_dir / identity.FILE}); "
                "add --replace to give it another identity"
            )
        identity.prepare(settings.data_dir)
    except identity.IdentityError as error:
        raise PairingFailed(str(error)) from None
    headers = {"User-Agent": f"fluxprint-bridge/{__version__} ({_hostname()})"}
    async with httpx.AsyncClient(base_url=settings.api_v1_url, timeout=TIMEOUT_S, headers=headers) as http:
        started = await _start(http, settings.api_v1_url)
        say(f"Open {_plain(started.verification_url)} and type this code:\n\n    {_plain(started.user_code)}\n")
        say(f"It holds for {started.expires_in_s / 60:.0f} minutes. Waiting ...")
        paired = await _wait(http, started, sleep=sleep)
    try:
        path = identity.write(settings.data_dir, paired.bridge_token)
    except identity.IdentityError as error:
        raise PairingFailed(str(error)) from None
    say(f"Paired as {_plain(paired.name)}. The token is in {path}; start the bridge now.")
    return path


async def _start(http: httpx.AsyncClient, url: str) -> _Started:
    try:
        answer = await http.post("auth/bridge-pairings")
    except httpx.HTTPError as error:
        raise PairingFailed(f"{url} does not answer: {error!r}") from None
    if answer.status_code != 201:
        raise PairingFailed(f"{url} refused: {_problem(answer)}")
    try:
        return _Started.model_validate(answer.json())
    except (ValidationError, ValueError):
        raise PairingFailed(f"{url} answered with something else; is FLUXPRINT_API_URL right?") from None


async def _wait(http: httpx.AsyncClient, started: _Started, *, sleep: Sleep) -> _Paired:
    """Poll until a person decided. What may pass is waited for: the device code fetches its token again."""
    interval_s, pause_s = started.interval_s, started.interval_s
    ends_at = clock.now() + started.expires_in_s
    body = {"device_code": started.device_code.get_secret_value()}
    while clock.now() < ends_at:
        await sleep(pause_s)
        try:
            answer = await http.post("auth/bridge-pairings/token", json=body)
        except httpx.HTTPError:
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
            continue
        if answer.status_code == 200:
            return _paired(answer)
        match _code(answer):
            case "authorization_pending":
                pause_s = interval_s
            case "slow_down":
                interval_s = pause_s = interval_s + SLOWER_BY_S
            case "access_denied":
                raise PairingFailed("somebody refused this bridge in FluxPrint; begin again if that was a mistake")
            case "expired_token":
                break
            case _ if answer.status_code >= 500 or answer.status_code == 429:
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
            case _:
                raise PairingFailed(f"FluxPrint refused: {_problem(answer)}")
    raise PairingFailed("nobody confirmed the code in time; begin again")


def _paired(answer: httpx.Response) -> _Paired:
    try:
        return _Paired.model_validate(answer.json())
    except (ValidationError, ValueError):
        raise PairingFailed("FluxPrint answered with something else than a token") from None


def _code(answer: httpx.Response) -> str | None:
    try:
        body = answer.json()
    except ValueError:
        return None
    return str(body.get("code")) if isinstance(body, dict) else None


def _problem(answer: httpx.Response) -> str:
    return f"{answer.status_code} {_plain(_code(answer) or '')}".rstrip()


def _plain(text: str) -> str:
    """Without what a terminal would take for a command."""
    return "".join(sign for sign in text if sign.isprintable())


def _hostname() -> str:
    """This machine's name, by which a person recognises it."""
    return re.sub(r"[^A-Za-z0-9._-]", "", socket.gethostname())[:60] or "unnamed"
