"""A TCP gate between two real processes: it can be shut, and it can hold one request or one answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit


class Stop:
    """Where something waits on its way. Await `caught`, then let it go or not."""

    def __init__(self) -> None:
        self.caught = asyncio.Event()
        self._go = asyncio.Event()

    def release(self) -> None:
        self._go.set()

    async def stop_here(self) -> None:
        self.caught.set()
        await self._go.wait()


class Hold(Stop):
    """A stop for one message."""

    def __init__(self, pattern: bytes, *, answer: bool) -> None:
        super().__init__()
        self.pattern = pattern
        self.answer = answer


class Gate:
    """Forwards to `target`; `url` is where clients go."""

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self._port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._hold: Hold | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def open(self) -> None:
        """Let clients in (again), at the same address."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Cut everything and refuse what comes."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold_request(self, pattern: bytes) -> Hold:
        """Stop the next request that starts with `pattern` before the server sees it."""
        self._hold = Hold(pattern, answer=False)
        return self._hold

    def hold_answer(self, pattern: bytes) -> Hold:
        """Let the next request that starts with `pattern` through, and stop its answer."""
        self._hold = Hold(pattern, answer=True)
        return self._hold

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_writer: asyncio.StreamWriter | None = None
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._target)
            held: list[Hold] = []
            both = [
                asyncio.create_task(self._requests(reader, up_writer, held)),
                asyncio.create_task(self._answers(up_reader, writer, held)),
            ]
            try:
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in both:
                    task.cancel()
                await asyncio.gather(*both, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, up_writer):
                if end is not None:
                    end.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: list[Hold]) -> None:
        while data := await reader.read(65536):
            hold = self._hold
            if hold is not None and data.startswith(hold.pattern):
                self._hold = None
                if hold.answer:
                    held.append(hold)
                else:
                    await hold.stop_here()
            writer.write(data)
            await writer.drain()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, held: list[Hold]) -> None:
        while data := await reader.read(65536):
            if held:
                await held.pop().stop_here()
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def gate_to(target: str) -> AsyncIterator[Gate]:
    gate = Gate(target)
    await gate.open()
    try:
        yield gate
    finally:
        await gate.shut()
