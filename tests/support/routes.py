"""The real Traefik with the real route file, in front of backends that say who they are."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fluxprint_local.ports import free_port
from fluxprint_local.traefik import Traefik
from support.servers import started

SERVICES = ("auth", "queue", "camera")


@dataclass(frozen=True)
class Front:
    """A Traefik; `log` is what it wrote, its access log among it."""

    url: str
    log: Path


class _Backend:
    """Answers with its name and what it received. Below a path that ends in `/stream` it sends one line and no more."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.readline():
                target = request.split()[1].decode()
                headers = {}
                while (line := (await reader.readline()).decode().strip()) != "":
                    key, _, value = line.partition(":")
                    headers[key.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                if target.partition("?")[0].endswith("/stream"):
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace\r\n\r\n--f\r\n")
                    await reader.read()  # until the client goes
                    return
                said = {"service": self._name, "target": target, "headers": headers, "body_bytes": len(body)}
                answer = json.dumps(said).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def running_front(folder: Path) -> AsyncIterator[Front]:
    """Traefik with one backend per service."""
    async with AsyncExitStack() as stack:
        addresses = {}
        for name in SERVICES:
            port = free_port()
            await stack.enter_async_context(await asyncio.start_server(_Backend(name).serve, "127.0.0.1", port))
            addresses[name] = f"http://127.0.0.1:{port}"
        traefik = Traefik(host="127.0.0.1", port=free_port(), internal_port=free_port(), services=addresses)
        log = folder / "traefik.log"
        await stack.enter_async_context(started(traefik.process(), log))
        yield Front(f"http://127.0.0.1:{traefik.port}", log)
