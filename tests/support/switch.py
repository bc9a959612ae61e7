"""A real server that a test turns off and on, and pauses."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil

from fluxprint_local.ports import free_port
from fluxprint_local.process import Process
from fluxprint_local.redis import Redis
from support import servers


class Switch:
    """Turns one server on and off; its address and its data stay."""

    def __init__(self, process: Process, log: Path, *, url: str) -> None:
        self.url = url
        self._process = process
        self._log = log
        self._stack = contextlib.AsyncExitStack()
        self._pid = 0

    async def on(self) -> None:
        self._pid = (await self._stack.enter_async_context(servers.started(self._process, self._log))).pid

    async def off(self) -> None:
        await self._stack.aclose()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Alive, its connections open, and silent."""
        for process in self._processes():
            process.suspend()
        try:
            yield
        finally:
            for process in self._processes():
                process.resume()

    def _processes(self) -> list[psutil.Process]:
        server = psutil.Process(self._pid)
        return [server, *server.children(recursive=True)]


@contextlib.asynccontextmanager
async def switched_redis(folder: Path) -> AsyncIterator[Switch]:
    """A Redis of one test, turned on."""
    server = Redis(folder=folder, port=free_port(), password="redis-of-one-test")
    switch = Switch(server.process(), folder / "redis.log", url=server.url())
    await switch.on()
    try:
        yield switch
    finally:
        await switch.off()


@contextlib.asynccontextmanager
async def switched_postgres(folder: Path) -> AsyncIterator[Switch]:
    """A PostgreSQL of one test, initialised and turned off."""
    async with servers.running_postgres(folder) as cluster:
        switch = Switch(cluster.process(), folder / "again.log", url=cluster.url())
    try:
        yield switch
    finally:
        await switch.off()
