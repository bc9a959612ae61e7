"""Rate limits with slowapi, whose storage is synchronous: the check runs in a thread, never on the event loop.

Counted in Redis, and in this process while Redis is away; when even that fails they fail open, with a metric.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any

from fastapi import Depends, Request
from limits import parse
from slowapi import Limiter
from slowapi.util import get_remote_address

from fluxprint_common.logs import get_logger
from fluxprint_common.metrics import Metrics
from fluxprint_common.principal import Principal, current_principal
from fluxprint_common.problems import RateLimited

log = get_logger(__name__)

REDIS_TIMEOUT_S = 0.25
RETRY_REDIS_AFTER_S = 5.0


@dataclass(frozen=True)
class Refusal:
    """A limit that refused a request.

    Attributes:
        key: whose requests are counted: a network, or what else the limit is kept by.
        reset_s: seconds until the limit begins anew.
    """

    scope: str
    limit: str
    key: str
    reset_s: int

    @property
    def address(self) -> str | None:
        """The address or network that was refused, where the limit is kept by that."""
        try:
            return str(ip_network(self.key)) if "/" in self.key else str(ip_address(self.key))
        except ValueError:
            return None


class RateLimiter:
    """Counts hits; one per process, at `app.state.rate_limiter`.

    Attributes:
        on_refusal: told of each refused request; quick, no I/O.
    """

    def __init__(self, *, redis_url: str | None, metrics: Metrics, enabled: bool = True) -> None:
        self.metrics = metrics
        self.enabled = enabled
        self.on_refusal: Callable[[Refusal], None] | None = None
        self._local = Limiter(key_func=get_remote_address, storage_uri="memory://").limiter
        self._shared = None
        if redis_url:
            options: dict[str, Any] = {
                "socket_timeout": REDIS_TIMEOUT_S,
                "socket_connect_timeout": REDIS_TIMEOUT_S,
                "retry": None,
                "key_prefix": "fluxprint:limit",
            }
            self._shared = Limiter(
                key_func=get_remote_address,
                storage_uri=redis_url,
                storage_options=options,
            ).limiter
        self._shared_again_at = 0.0

    async def hit(self, limit: str, scope: str, key: str) -> None:
        """Count one hit of `key` in `scope` against a limit such as `5/minute`.

        Raises:
            RateLimited: with `Retry-After` in seconds and the RateLimit headers.
        """
        if not self.enabled:
            return
        item = parse(limit)
        allowed, remaining, reset_s = await asyncio.to_thread(self._hit, item, scope, key)
        if allowed:
            return
        self.metrics.rate_limited.labels(scope=scope).inc()
        log.warning("rate_limit_exceeded", scope=scope, limit=limit)
        if self.on_refusal is not None:
            self.on_refusal(Refusal(scope, limit, key, reset_s))
        window_s = int(item.get_expiry())
        raise RateLimited(
            f"At most {item.amount} in {window_s} s; try again in {reset_s} s.",
            headers={
                "Retry-After": str(reset_s),
                "RateLimit-Policy": f'"{scope}";q={item.amount};w={window_s}',
                "RateLimit": f'"{scope}";r={remaining};t={reset_s}',
            },
        )

    def _hit(self, item: Any, scope: str, key: str) -> tuple[bool, int, int]:
        strategy = self._strategy()
        try:
            return self._count(strategy, item, scope, key)
        except Exception as error:
            self.metrics.rate_limit_failures.inc()
            log.warning("rate_limit_storage_failed", error=repr(error))
            self._shared_again_at = time.monotonic() + RETRY_REDIS_AFTER_S
            return self._count(self._local, item, scope, key)

    def _strategy(self) -> Any:
        if self._shared is None or time.monotonic() < self._shared_again_at:
            return self._local
        return self._shared

    @staticmethod
    def _count(strategy: Any, item: Any, scope: str, key: str) -> tuple[bool, int, int]:
        allowed = strategy.hit(item, scope, key)
        reset_at, remaining = strategy.get_window_stats(item, scope, key)
        return allowed, remaining, max(1, int(reset_at - time.time()) + 1)


def limit_by_address(scope: str, setting: str) -> Any:
    """A dependency that limits by the client's address; the figure is the service setting of that name."""

    async def check(request: Request) -> None:
        await _limiter(request).hit(_figure(request, setting), scope, network(get_remote_address(request)))

    return Depends(check)


def limit_by_subject(scope: str, setting: str) -> Any:
    """A dependency that limits by who is signed in, or by API key; the figure is the service setting of that name."""

    async def check(request: Request, who: Annotated[Principal, Depends(current_principal)]) -> None:
        await _limiter(request).hit(_figure(request, setting), scope, who.credential_id.hex)

    return Depends(check)


def network(address: str) -> str:
    """What one client can't leave: its address, or of IPv6 the /64 that a provider gives to each customer."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(ip_network((parsed, 64), strict=False))
    return address


def _limiter(request: Request) -> RateLimiter:
    limiter: RateLimiter = request.app.state.rate_limiter
    return limiter


def _figure(request: Request, setting: str) -> str:
    return str(getattr(request.app.state.settings, setting))
