"""A TCP link that can be cut, stalled, slowed down, and made deaf."""

import asyncio
import contextlib

SLOW_BY_S = 0.1
PIECE_BYTES = 65536


class Link:
    """Forwards from a port of its own to `target`; clients go to `url`."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._target = target
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._through = asyncio.Event()
        self._through.set()
        self._slow = False
        self._deaf = False
        self._stalls_at: bytes | None = None
        self._awaited: dict[asyncio.Future[None], tuple[bytes, float]] = {}

    async def open(self) -> None:
        """Let clients in, at the same port as before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Cut every connection and refuse new ones, until `open`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @property
    def is_stalled(self) -> bool:
        return not self._through.is_set()

    def stall(self) -> None:
        """Keep back what is sent in both directions. What was sent arrives after `heal`, its sender gone or not."""
        self._through.clear()

    def stall_at(self, words: bytes) -> None:
        """Stall as soon as a request comes whose first line holds these words."""
        self._stalls_at = words

    async def passes(self, words: bytes, *, hold_s: float) -> None:
        """Wait for a request whose first line holds these words. It goes on to the server after `hold_s`."""
        passed = asyncio.get_running_loop().create_future()
        self._awaited[passed] = (words, hold_s)
        try:
            await passed
        finally:
            del self._awaited[passed]

    def slow(self) -> None:
        self._slow = True

    def deafen(self) -> None:
        """Let requests through and lose the answers."""
        self._deaf = True

    async def heal(self) -> None:
        """As if nothing had been. Who was deaf has missed something and is cut off."""
        if self._deaf:
            await self.cut()
        self._slow = self._deaf = False
        self._stalls_at = None
        self._through.set()
        if self._server is None:
            await self.open()

    # -- one connection --------------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._forward(reader, writer))
        self._connections.add(task)

        def ended(_task: asyncio.Task[None]) -> None:  # also one that was cut before its first step
            self._connections.discard(task)
            writer.transport.abort()

        task.add_done_callback(ended)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, up_writer, answers=False))
                    both.create_task(self._pump(up_reader, writer, answers=True))
            finally:
                up_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        """Forward until one side ends. A request whose sender has gone arrives all the same."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                if self._slow:
                    await asyncio.sleep(SLOW_BY_S)
                if not answers:
                    await self._notice(piece.partition(b"\r\n")[0])
                await self._through.wait()
                if answers and self._deaf:
                    continue
                writer.write(piece)
                await writer.drain()
        await self._through.wait()
        with contextlib.suppress(OSError):
            writer.write_eof()

    async def _notice(self, first_line: bytes) -> None:
        if self._stalls_at is not None and self._stalls_at in first_line:
            self.stall()
        for passed, (words, hold_s) in list(self._awaited.items()):
            if words in first_line and not passed.done():
                passed.set_result(None)
                await asyncio.sleep(hold_s)
