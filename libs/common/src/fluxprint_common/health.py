"""Health of a service with its dependencies: for people, for Traefik, for compose."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

from redis.asyncio import Redis
from starlette.requests import Request
from starlette.responses import JSONResponse

from fluxprint_common.background import Supervisor
from fluxprint_common.database import Database

CHECK_TIMEOUT_S = 2.0
KEEP_S = 1.0


class Status(StrEnum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # serves, but something is missing: Redis, the mail server
    UNHEALTHY = "unhealthy"


FAILING = "failing"


async def check(
    database: Database, redis: Redis | None, loops: Supervisor, others: Mapping[str, Callable[[], str]]
) -> tuple[Status, dict[str, object]]:
    """The service's status, and that of each dependency.

    Args:
        others: dependencies of this service alone, without which it still serves; each says how it is.
    """
    database_ok, redis_ok = await asyncio.gather(_answers(database.ping), _answers(redis.ping) if redis else _no())
    broken = loops.unhealthy()
    status = Status.HEALTHY
    said = {name: say() for name, say in others.items()}
    if (redis is not None and not redis_ok) or FAILING in said.values():
        status = Status.DEGRADED
    if not database_ok or broken:
        status = Status.UNHEALTHY
    parts: dict[str, object] = {
        "database": "connected" if database_ok else "disconnected",
        "redis": "not configured" if redis is None else "connected" if redis_ok else "disconnected",
        **said,
        "loops": {name: FAILING if name in broken else "running" for name in loops.names},
    }
    return status, parts


async def _answers(ping: Callable[[], Awaitable[object]]) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await ping()
    except Exception:  # whatever it is, the dependency does not answer
        return False
    return True


async def _no() -> bool:
    return False


class HealthEndpoint:
    """200 while the service can do its work, 503 when it can't.

    Anybody may ask, as often as they like: the dependencies are asked by one at a time, and not again while what they
    said is new.
    """

    def __init__(self) -> None:
        self._asking = asyncio.Lock()
        self._answer: tuple[Status, dict[str, object]] | None = None
        self._good_until = 0.0

    async def answer(self, request: Request) -> JSONResponse:
        state = request.app.state
        async with self._asking:
            clock = asyncio.get_running_loop().time
            if self._answer is None or clock() >= self._good_until:
                self._answer = await check(state.database, state.redis, state.loops, state.health_parts)
                self._good_until = clock() + KEEP_S
            status, parts = self._answer
        body = {"status": status, "service": state.service_name, "version": state.version, **parts}
        return JSONResponse(body, 503 if status is Status.UNHEALTHY else 200)
