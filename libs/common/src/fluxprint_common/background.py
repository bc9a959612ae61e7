"""Background loops under one supervisor: named, restarted with backoff, and visible in the health of the service."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from fluxprint_common.logs import get_logger

log = get_logger(__name__)

MIN_BACKOFF_S = 0.2
MAX_BACKOFF_S = 15.0
#: So many failures within `FAILING_WINDOW_S` make a loop unhealthy, until `RECOVERED_AFTER_S` pass without another one.
FAILURES_UNTIL_UNHEALTHY = 3
FAILING_WINDOW_S = 60.0
RECOVERED_AFTER_S = 10.0
STOP_TIMEOUT_S = 5.0
CANCEL_AGAIN_S = 0.5

Loop = Callable[[], Awaitable[None]]


@dataclass
class _Watched:
    run: Loop
    critical: bool
    task: asyncio.Task[None] | None = None
    failures: int = 0  # in a row, for the pauses
    failed_at: deque[float] = field(default_factory=lambda: deque(maxlen=FAILURES_UNTIL_UNHEALTHY))
    pausing: bool = False


class Supervisor:
    """Runs loops for ever.

    A loop that raises or returns is started again with growing, jittered pauses. After a few failures in a row its name
    appears in `unhealthy()`, until it has run for a while again.
    """

    def __init__(self) -> None:
        self._loops: dict[str, _Watched] = {}

    def start(self, name: str, run: Loop, *, critical: bool = True) -> None:
        """Start a loop under a name of its own.

        Args:
            critical: False for a loop whose failing leaves the service able to do its work (whatever hangs on Redis).
        """
        if name in self._loops:
            raise ValueError(f"a loop named {name} runs already")
        watched = self._loops[name] = _Watched(run, critical)
        watched.task = asyncio.create_task(self._keep_running(name, watched), name=f"loop:{name}")

    def unhealthy(self) -> list[str]:
        """The critical loops that keep failing or are dead."""
        return [name for name, watched in self._loops.items() if watched.critical and _is_failing(watched)]

    @property
    def names(self) -> list[str]:
        return list(self._loops)

    async def stop(self, name: str | None = None) -> None:
        """Cancel one loop, or all of them, and wait (bounded) until they are gone."""
        names = [name] if name else list(self._loops)
        tasks = [watched.task for key in names if (watched := self._loops.pop(key, None)) and watched.task]
        # Again and again: a library that waits with a deadline of its own may take one cancellation for that.
        for _ in range(max(1, round(STOP_TIMEOUT_S / CANCEL_AGAIN_S))):
            if not tasks:
                return
            for task in tasks:
                task.cancel()
            _done, late = await asyncio.wait(tasks, timeout=min(CANCEL_AGAIN_S, STOP_TIMEOUT_S))
            tasks = list(late)
        for task in tasks:
            log.error("loop_did_not_stop", loop=task.get_name())

    async def _keep_running(self, name: str, watched: _Watched) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            started_at = clock()
            try:
                await watched.run()
                log.warning("loop_ended", loop=name)
            except Exception as error:
                log.warning("loop_failed", loop=name, error=repr(error), exc_info=watched.critical)
            watched.failures = 1 if clock() - started_at > FAILING_WINDOW_S else watched.failures + 1
            watched.failed_at.append(clock())
            watched.pausing = True
            await asyncio.sleep(backoff_s(watched.failures))
            watched.pausing = False


def _is_failing(watched: _Watched) -> bool:
    if watched.task is None or watched.task.done():
        return True
    if len(watched.failed_at) < FAILURES_UNTIL_UNHEALTHY:
        return False
    now, failed_at = asyncio.get_running_loop().time(), watched.failed_at
    often = failed_at[-1] - failed_at[0] < FAILING_WINDOW_S
    return often and (watched.pausing or now - failed_at[-1] < RECOVERED_AFTER_S)


def backoff_s(failures: int, *, cap_s: float = MAX_BACKOFF_S) -> float:
    """A jittered pause in seconds after so many failures in a row: 0.2 s doubling up to `cap_s`."""
    ceiling = min(cap_s, MIN_BACKOFF_S * 2 ** min(failures - 1, 16))
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311  (spreads load, guards nothing)


async def every(interval_s: float, action: Callable[[], Awaitable[object]], *, first_after_s: float = 0.0) -> None:
    """Call `action` for ever, with a jittered pause between; an error ends it, for the supervisor to see."""
    await asyncio.sleep(first_after_s)
    while True:
        await action()
        await asyncio.sleep(random.uniform(0.9, 1.1) * interval_s)  # noqa: S311
