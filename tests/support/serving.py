"""ASGI applications behind a real socket, in this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals stay pytest's


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, *, lifespan: bool = True) -> AsyncIterator[str]:
    """Serve `app` on a free port of loopback until the block ends; gives its URL without a slash at the end."""
    server = _Server(
        uvicorn.Config(
            app,
            port=0,
            http="httptools",
            lifespan="on" if lifespan else "off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    running = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                assert not running.done(), "the server ended while starting"
                await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        await running
