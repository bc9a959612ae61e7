"""API keys and outside tokens, exchanged at auth for access tokens, which are kept: no request waits for auth twice.

What is kept is an access token like any other: it is verified, and refused when its key was revoked, at each use.
"""

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urljoin

import httpx

from fluxprint_common.logs import get_logger
from fluxprint_common.opaque import API_KEY, is_well_formed
from fluxprint_common.problems import RateLimited, Unauthenticated, Unavailable

log = get_logger(__name__)

PATH = "/internal/exchange"
KEPT = 4096
REFUSED_FOR_S = 30.0
#: A new token is had this long before the old one ends, so that streams that begin now do not end at once.
RENEW_BEFORE_S = 120.0
#: After auth did not answer for one kind of credential, it is not asked for that kind for so long.
PAUSE_S = 2.0
TIMEOUT_S = 3.0
MAX_CREDENTIAL_CHARS = 8192
MAX_AGENT_CHARS = 300


class CredentialKind(StrEnum):
    API_KEY = "api_key"
    OUTSIDE_TOKEN = "outside_token"  # noqa: S105  (a name)


@dataclass(frozen=True)
class Credential:
    """What a request carries instead of an access token of ours."""

    kind: CredentialKind
    value: str = field(repr=False)


@dataclass(frozen=True)
class Caller:
    """Where the request came from, for the record of what was used from where."""

    address: str
    agent: str


@dataclass(frozen=True)
class Exchanged:
    """An access token, and the seconds that it lives."""

    access_token: str = field(repr=False)
    expires_in_s: int


class CredentialRefused(Exception):
    """Auth does not take it: unknown, expired, revoked, or nobody's any more."""


class NoAnswer(Exception):
    """Auth could not say; `reason` is for the log."""


Ask = Callable[[Credential, Caller], Awaitable[Exchanged]]
Admit = Callable[[Caller], Awaitable[None]]


@dataclass
class _Kept:
    """An answer: `token` is None where the credential was refused. Both moments are the clock's, in seconds."""

    token: str | None
    renew_at: float
    ends_at: float


class Exchange:
    """Exchanges credentials, and keeps a bounded number of answers: good ones while they live, refusals for 30 s.

    Args:
        ask: asks auth. Raises: CredentialRefused, NoAnswer.
        admit: called before auth is asked; raises where somebody asks too often.
    """

    def __init__(self, ask: Ask, *, admit: Admit | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._admit = admit
        self._clock = clock
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[_Kept]] = {}
        #: By kind: where an outside issuer's keys cannot be had, API keys go on.
        self._away_until: dict[CredentialKind, float] = {}

    async def access_token(self, credential: Credential, caller: Caller) -> str:
        """An access token of ours for a credential.

        Raises:
            Unauthenticated: auth refuses it, or it can't be one. Unavailable: auth is away and nothing is kept.
            RateLimited: too many that are not known yet come from that address.
        """
        if not _plausible(credential):
            raise _refusal(credential)
        name = _name(credential)
        kept, now = self._kept.get(name), self._clock()
        if kept is not None and now < kept.ends_at:
            self._kept.move_to_end(name)
            # One request renews; whoever comes meanwhile, or while auth is away, goes on with what is there.
            if now < kept.renew_at or name in self._asking or self._is_away(credential.kind):
                return _token_of(kept, credential)
        try:
            return _token_of(await self._fresh(name, credential, caller), credential)
        except (NoAnswer, RateLimited) as error:
            if kept is not None and kept.token is not None and self._clock() < kept.ends_at:
                return kept.token
            if isinstance(error, RateLimited):
                raise
            raise Unavailable("This cannot be checked at the moment: the auth service does not answer.") from error

    def forget(self, credential: Credential, token: str) -> None:
        """Drop a token that turned out to be worth nothing: its key was revoked, or its maker's role has changed."""
        name = _name(credential)
        kept = self._kept.get(name)
        if kept is not None and kept.token == token:
            del self._kept[name]

    async def _fresh(self, name: bytes, credential: Credential, caller: Caller) -> _Kept:
        task = self._asking.get(name)
        if task is None:
            if self._is_away(credential.kind):
                raise NoAnswer("it did not a moment ago")
            if self._admit is not None:
                await self._admit(caller)
            task = self._asking.get(name)  # somebody else's, who was admitted first
        if task is None:
            task = self._asking[name] = asyncio.create_task(self._exchange(name, credential, caller))
            task.add_done_callback(lambda done: self._asked(name, done))
        # Shielded: whoever began it may go away, and others wait for it too.
        return await asyncio.shield(task)

    def _is_away(self, kind: CredentialKind) -> bool:
        return self._clock() < self._away_until.get(kind, 0.0)

    def _asked(self, name: bytes, task: asyncio.Task[_Kept]) -> None:
        self._asking.pop(name, None)
        if not task.cancelled():
            task.exception()  # if nobody waits any more, nobody needs it

    async def _exchange(self, name: bytes, credential: Credential, caller: Caller) -> _Kept:
        asked_at = self._clock()
        try:
            answer = await self._ask(credential, caller)
        except CredentialRefused:
            kept = _Kept(None, asked_at + REFUSED_FOR_S, asked_at + REFUSED_FOR_S)
        except NoAnswer as error:
            self._away_until[credential.kind] = self._clock() + PAUSE_S
            log.warning("exchange_failed", kind=credential.kind.value, error=str(error))
            raise
        else:
            ends_at = asked_at + answer.expires_in_s
            kept = _Kept(answer.access_token, ends_at - min(RENEW_BEFORE_S, answer.expires_in_s / 2), ends_at)
        self._kept[name] = kept
        self._kept.move_to_end(name)
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept


class AskOverHttp:
    """Asks the auth service, which answers at `/internal/exchange` beside its published keys."""

    def __init__(self, http: httpx.AsyncClient, jwks_url: str) -> None:
        self._http = http
        self._url = urljoin(jwks_url, PATH)

    async def __call__(self, credential: Credential, caller: Caller) -> Exchanged:
        """Raises: CredentialRefused, NoAnswer"""
        body = {credential.kind.value: credential.value, "address": caller.address, "agent": caller.agent}
        try:
            answer = await self._http.post(self._url, json=body, timeout=TIMEOUT_S)
            if answer.status_code == 401:
                raise CredentialRefused
            answer.raise_for_status()
            said = answer.json()
            return Exchanged(str(said["access_token"]), int(said["expires_in_s"]))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise NoAnswer(type(error).__name__) from None  # the error itself may show what was sent


def _name(credential: Credential) -> bytes:
    return hashlib.sha256(f"{credential.kind} {credential.value}".encode()).digest()


def _plausible(credential: Credential) -> bool:
    if credential.kind is CredentialKind.API_KEY:
        return is_well_formed(API_KEY, credential.value)
    return len(credential.value) <= MAX_CREDENTIAL_CHARS


def _token_of(kept: _Kept, credential: Credential) -> str:
    if kept.token is None:
        raise _refusal(credential)
    return kept.token


def _refusal(credential: Credential) -> Unauthenticated:
    if credential.kind is CredentialKind.API_KEY:
        return Unauthenticated("The API key is not valid, has expired or was revoked.")
    return Unauthenticated("The access token is not valid or has expired; get a new one where you signed in.")
