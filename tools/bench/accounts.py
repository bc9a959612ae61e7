"""What signing in, refreshing, verifying and revoking cost."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from fluxprint_common.jwks import JwksClient
from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS, MAX_ACCESS_TOKEN_S
from fluxprint_common.tokens import TokenVerifier
from tools.bench.answering import Target, cpu_s
from tools.bench.system import System, Workshop
from tools.bench.ways import gcode

#: The bench signs in more often than a person, from one address.
SETTINGS = {
    "AUTH_LIMIT_REFRESH": "100000/minute",
    "AUTH_LIMIT_LOGIN": "100000/minute",
    "AUTH_LIMIT_LOGIN_ACCOUNT": "100000/minute",
}
FAMILIES, REFRESHES = 8, 50
VERIFICATIONS = 2000
LOGINS_AT_ONCE = 20
REVOCATIONS = 60
REQUEST_ROUNDS = 6
PING_S = 0.002
REFUSED_WITHIN_S = 60


@dataclass(frozen=True)
class Accounts:
    """Figures of the auth service and of what the others do with its tokens.

    Attributes:
        refreshes: for each CPU second of the auth service.
        verify_new_s, verify_again_s: CPU seconds for a token that comes for the first time, and for one that came
            before.
        request_s: CPU seconds of one `GET /jobs/{id}` in the queue service.
        quiet_s, hashing_s: what another request to the auth service takes, before and while many log in.
        refused_s: from the answer to the logout to the queue's first refusal.
    """

    refreshes: float
    verify_new_s: float
    verify_again_s: float
    request_s: float
    quiet_s: Sequence[float]
    hashing_s: Sequence[float]
    refused_s: Sequence[float]


async def measure(system: System, workshop: Workshop) -> Accounts:
    """All of it, one after the other; the system must have been started with `SETTINGS`."""
    job = await workshop.queue(await workshop.upload(gcode()))
    again_s, new_s = await _verifying(workshop)
    target = Target(system.ports.queue, f"/api/v1/jobs/{job}", [system.process("queue")])
    for _ in range(REQUEST_ROUNDS):
        await target.round(f"Bearer {workshop.access_token}")
    await workshop.cancel(job)
    refreshes = await _refreshing(system, workshop)
    quiet_s, hashing_s = await _hashing(system, workshop)
    refused_s = [await _refused_after(system, workshop) for _ in range(REVOCATIONS)]
    return Accounts(refreshes, new_s, again_s, 1 / target.rate(), quiet_s, hashing_s, refused_s)


async def _verifying(workshop: Workshop) -> tuple[float, float]:
    """CPU seconds to verify a token that the verifier has seen, and one that it has not; the key is known."""
    keys = JwksClient(f"{workshop.http.base_url}auth/jwks", http=workshop.http)

    def verifier() -> TokenVerifier:
        return TokenVerifier(
            keys, issuer="fluxprint", audience="fluxprint-api", required=ACCESS_TOKEN_CLAIMS,
            max_lifetime_s=MAX_ACCESS_TOKEN_S,
        )  # fmt: skip

    token = workshop.access_token
    warm = verifier()
    await warm.verify(token)
    again_s = await _cpu_each(VERIFICATIONS, lambda: warm.verify(token))
    fresh = [verifier() for _ in range(VERIFICATIONS // 4)]
    waiting = iter(fresh)
    return again_s, await _cpu_each(len(fresh), lambda: next(waiting).verify(token))


async def _cpu_each(times: int, action: Callable[[], Awaitable[object]]) -> float:
    before = time.process_time()
    for _ in range(times):
        await action()
    return (time.process_time() - before) / times


async def _refreshing(system: System, workshop: Workshop) -> float:
    """Refreshes for each CPU second of the auth service: some sessions at once, each one refresh after the other."""
    auth = psutil.Process(system.process("auth").pid)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{system.ports.auth}/api/v1", timeout=30) as http:
        tokens = [str((await _log_in(http, workshop))["refresh_token"]) for _ in range(FAMILIES)]

        async def one_session(token: str) -> None:
            for _ in range(REFRESHES):
                answer = await http.post("/auth/refresh", json={"refresh_token": token})
                answer.raise_for_status()
                token = answer.json()["refresh_token"]

        before = cpu_s(auth)
        await asyncio.gather(*map(one_session, tokens))
        return FAMILIES * REFRESHES / (cpu_s(auth) - before)


async def _hashing(system: System, workshop: Workshop) -> tuple[list[float], list[float]]:
    """What a small request takes while nobody logs in, and while many do."""
    url = f"http://127.0.0.1:{system.ports.auth}/api/v1"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        quiet = await _pinged(http, asyncio.sleep(1))
        logins = asyncio.gather(*(_log_in(http, workshop) for _ in range(LOGINS_AT_ONCE)))
        return quiet, await _pinged(http, logins)


async def _pinged(http: httpx.AsyncClient, work: Awaitable[object]) -> list[float]:
    """Seconds of each of many small requests until `work` is done."""
    done = asyncio.ensure_future(work)
    took: list[float] = []
    while not done.done():
        began = time.perf_counter()
        (await http.get("/auth/jwks")).raise_for_status()
        took.append(time.perf_counter() - began)
        await asyncio.sleep(PING_S)
    await done
    return took


async def _refused_after(system: System, workshop: Workshop) -> float:
    """Seconds from the logout's answer to the queue's first refusal of that session's access token."""
    async with httpx.AsyncClient(base_url=f"{system.url}/api/v1", timeout=30) as http:
        headers = {"Authorization": f"Bearer {(await _log_in(http, workshop))['access_token']}"}
        (await http.get("/jobs", headers=headers)).raise_for_status()
        (await http.post("/auth/logout", headers=headers)).raise_for_status()
        began = time.perf_counter()
        async with asyncio.timeout(REFUSED_WITHIN_S):
            while (await http.get("/jobs", headers=headers)).status_code != 401:
                pass
        return time.perf_counter() - began


async def _log_in(http: httpx.AsyncClient, workshop: Workshop) -> dict[str, Any]:
    answer = await http.post("/auth/login", json={"email": workshop.email, "password": workshop.password})
    answer.raise_for_status()
    tokens: dict[str, Any] = answer.json()
    return tokens


def show(accounts: Accounts) -> None:
    """Print what was measured."""

    def p99(seconds: Sequence[float]) -> float:
        return statistics.quantiles(seconds, n=100)[98] * 1000

    again, new = (seconds / accounts.request_s * 100 for seconds in (accounts.verify_again_s, accounts.verify_new_s))
    print(f"""
Accounts                                                                  aim
  refreshes for each CPU second                   {accounts.refreshes:7.0f}
  verifications for each CPU second               {1 / accounts.verify_again_s:7.0f}
  the same, of tokens that were never seen        {1 / accounts.verify_new_s:7.0f}
  share of a GET /jobs/{{id}}                       {again:7.1f} %    <= 10
  the same, of a token that was never seen        {new:7.1f} %
  another request, median / p99 / max             {_three(accounts.quiet_s)} ms
  the same, while {LOGINS_AT_ONCE} log in                      {_three(accounts.hashing_s)} ms
  from logout to refusal, median                  {statistics.median(accounts.refused_s) * 1000:7.1f} ms
  the same, p99                                   {p99(accounts.refused_s):7.1f} ms   <= 1000""")


def _three(seconds: Sequence[float]) -> str:
    figures = (statistics.median(seconds), statistics.quantiles(seconds, n=100)[98], max(seconds))
    return " / ".join(f"{figure * 1000:.1f}" for figure in figures)
