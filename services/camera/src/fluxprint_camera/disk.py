"""A disk may hang: it is waited for in threads that do nothing else, and not for ever."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

THREADS = 2
#: For what people wait for, for one file, and for what goes through many.
LOOK_S, FILE_S, MANY_S = 5.0, 20.0, 600.0


class Disk:
    """Threads for one kind of files; `close()` when nothing is wanted of them any more.

    Args:
        name: of the threads.
    """

    def __init__(self, name: str) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    async def do(self, work: Callable[[], T], *, within_s: float) -> T:
        """What `work` returns or raises.

        Raises:
            TimeoutError: an OSError too: it took longer, or nothing before it came back; it may be done all the same.
        """
        async with asyncio.timeout(within_s):
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let go of the threads; one that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
