"""How soon somebody who comes late sees something: from the request to the first byte, through Traefik."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fluxprint_local.ports import free_port
from fluxprint_local.supervisor import Supervisor
from fluxprint_local.traefik import Traefik

TIMES = 200
WAIT_S = 10.0
_NOWHERE = "http://127.0.0.1:1"
_PICTURE = b"\xff\xd8"


@dataclass(frozen=True)
class Seen:
    """Of each request, in seconds: until the answer begins, and until a picture does."""

    answer_s: Sequence[float]
    picture_s: Sequence[float]


@asynccontextmanager
async def traefik_before(folder: Path, port: int) -> AsyncIterator[int]:
    """The port of a Traefik before the relay that listens at `port`."""
    traefik = Traefik(
        host="127.0.0.1",
        port=free_port(),
        internal_port=free_port(),
        services={"auth": _NOWHERE, "queue": _NOWHERE, "camera": f"http://127.0.0.1:{port}"},
    )
    async with Supervisor(folder) as supervisor:
        await supervisor.start(traefik.process())
        yield traefik.port


async def measure(*, proxied: int, port: int, stream: str) -> dict[str, Seen]:
    """A stream's and a snapshot's, through Traefik and past it, in turns; each on a connection of its own.

    Args:
        proxied: where Traefik listens.
        port: where the relay does.
        stream: the path of a stream, with its token.
    """
    ways = {
        f"{what}, {how}": (where, path)
        for what, path in (("stream", stream), ("snapshot", stream.replace("/stream?", "/snapshot?")))
        for how, where in (("through Traefik", proxied), ("the relay itself", port))
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(TIMES):
        for name, (where, path) in ways.items():
            found[name].append(await _first(where, path))
    return {name: Seen(*zip(*pairs, strict=True)) for name, pairs in found.items()}


async def _first(port: int, path: str) -> tuple[float, float]:
    began = time.perf_counter()
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
            data = await reader.read(65536)
            answered = time.perf_counter() - began
            assert data.startswith(b"HTTP/1.1 200"), data[:200]
            while _PICTURE not in data:
                more = await reader.read(65536)
                assert more, "no picture came"
                data += more
            return answered, time.perf_counter() - began
        finally:
            writer.transport.abort()


def show(found: dict[str, Seen]) -> None:
    """Print the table."""
    print(f"""
{TIMES} who come late                   first byte p50      p99     of a picture p50      p99      aim""")
    for name, seen in found.items():
        figures = [_at(times, share) * 1000 for times in (seen.answer_s, seen.picture_s) for share in (0.5, 0.99)]
        answer, picture = (f"{p50:14.1f} ms {p99:7.1f} ms" for p50, p99 in (figures[:2], figures[2:]))
        print(f"  {name:<30}{answer}   {picture}   {'< 50 ms' if 'Traefik' in name else ''}")


def _at(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(len(times) * share))]
