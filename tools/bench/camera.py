"""What the relay costs, how old pictures are on slow lines, and what stuck viewers do to others.

Every peer sends the same frames to the same viewers (`viewers.c`) in the same run, in turns. Servers run on one core,
viewers on the others.
"""

import asyncio
import json
import os
import shutil
import statistics
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from fluxprint_local.ports import free_port
from tools.bench import first
from tools.bench.answering import cpu_s
from tools.bench.memory import pss_mb
from tools.bench.stamped import FPS

VIEWERS = 200
MANY = 500
ROUNDS = 3
STUCK_ROUNDS = 6  # few pictures for each p99
WARM_S, SECONDS = 1.5, 4.0
SLOW_BYTES_PER_S = 200_000
SLOW_WARM_S, SLOW_SECONDS = 8.0, 8.0
STARTING_S = 20.0

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port};
            location / {{ proxy_pass http://127.0.0.1:{source}; proxy_buffering off; proxy_http_version 1.1; }} }}
}}
"""
_MJPEG_PROXY = """
const {{ MjpegProxy }} = require('mjpeg-proxy');
const proxy = new MjpegProxy('http://127.0.0.1:{source}/');
require('http').createServer((request, response) => proxy.proxyRequest(request, response)).listen({port}, '127.0.0.1');
"""

Json = dict[str, Any]


@dataclass
class Peer:
    """A server of one camera."""

    name: str
    port: int
    process: psutil.Process
    path: str = "/"
    watch: str = ""
    us: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def cpu_s(self) -> float:
        return sum(cpu_s(one) for one in (self.process, *self.process.children(recursive=True)))

    def pss_mb(self) -> float:
        return sum(pss_mb(one) for one in (self.process, *self.process.children(recursive=True)))


@dataclass(frozen=True)
class Seen:
    """What a run of viewers measured; CPU and memory are the server's."""

    result: Json
    cpu_s: float
    pss_mb: float

    @property
    def us(self) -> float:
        """Microseconds of CPU time for each frame that was delivered."""
        frames: int = self.result["fast"]["frames"]
        return self.cpu_s / max(1, frames) * 1e6


@dataclass
class Relayed:
    """The figures."""

    peers: list[Peer] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    slow_ms: dict[str, float] = field(default_factory=dict)
    alone_p99_ms: list[float] = field(default_factory=list)
    beside_stuck_p99_ms: list[float] = field(default_factory=list)
    kb_per_viewer: dict[str, float] = field(default_factory=dict)
    late: dict[str, first.Seen] = field(default_factory=dict)


async def measure(folder: Path) -> Relayed | None:
    """Everything, or None where viewers cannot be compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    client = folder / "viewers"
    await _run(compiler, "-O2", "-o", str(client), str(Path(__file__).with_name("viewers.c")))
    async with AsyncExitStack() as stack:
        fast = await stack.enter_async_context(_relay("auto"))
        plain = await stack.enter_async_context(_relay("off"))
        bare = await stack.enter_async_context(_bare())
        socket = _by_socket(fast)
        found = Relayed(peers=[fast, socket, plain, bare])
        found.late = await first.measure(folder, port=fast.port, stream=fast.path)
        for name, peer in (("nginx", _nginx), ("mjpeg-proxy", _mjpeg_proxy), ("go2rtc", _go2rtc)):
            opened = await peer(stack, folder, bare.port)
            found.peers.extend([opened] if opened is not None else [])
            found.missing.extend([name] if opened is None else [])
        for _ in range(ROUNDS):
            for peer_ in found.peers:
                seen = await _viewers(client, peer_, fast=VIEWERS)
                peer_.us.append(seen.us)
                peer_.p99_ms.append(seen.result["fast"]["p99_ms"])
                assert not seen.result["disorder"], f"{peer_.name}: pictures twice or out of order"
        fresh = _by_socket(fast, name="relay, WebSocket with a window of 1", window=1)
        for peer_ in (*(p for p in found.peers if p is not plain), fresh):
            seen = await _viewers(client, peer_, fast=8, slow=2, warm_s=SLOW_WARM_S, seconds=SLOW_SECONDS)
            found.slow_ms[peer_.name] = seen.result["slow"]["p50_ms"]
        for _ in range(STUCK_ROUNDS):
            for stuck, p99_ms in ((0, found.alone_p99_ms), (50, found.beside_stuck_p99_ms)):
                seen = await _viewers(client, fast, fast=5, stuck=stuck)
                p99_ms.append(seen.result["fast"]["p99_ms"])
    for name, is_socket, kinds in (
        ("MJPEG, all read", False, {"fast": MANY}),
        ("MJPEG, all stuck", False, {"stuck": MANY}),
        ("WebSocket, all read", True, {"fast": MANY}),
    ):
        async with _relay("auto") as fresh:
            before = fresh.pss_mb()
            seen = await _viewers(client, _by_socket(fresh) if is_socket else fresh, **kinds)
            found.kb_per_viewer[name] = (seen.pss_mb - before) * 1000 / MANY
    return found


def show(found: Relayed | None) -> None:
    """Print the figures."""
    if found is None:
        print("\nThe relay was not measured: its viewers are written in C, and there is no `cc`.")
        return
    relay, socket, _plain, bare = found.peers[:4]
    print(f"""
{VIEWERS} viewers, 45 kB at {FPS} fps            CPU per frame   of bare ASGI    p99""")
    for peer in found.peers:
        us = statistics.median(peer.us)
        ratio = us / statistics.median(bare.us)
        print(f"  {peer.name:<32}{us:10.1f} us{ratio:13.2f}{statistics.median(peer.p99_ms):10.1f} ms")
    for name in found.missing:
        print(f"  {name:<32}     is not here")
    print(f"""
At {SLOW_BYTES_PER_S // 1000} kB/s, beside others that are fast     age of the picture, p50      aim""")
    aims = {relay.name: "<= 1500 ms", socket.name: "<= 400 ms"}
    for name, ms in found.slow_ms.items():
        print(f"  {name:<40}{ms:16.0f} ms      {aims.get(name, '')}")
    alone, beside = statistics.median(found.alone_p99_ms), statistics.median(found.beside_stuck_p99_ms)
    print(f"""
5 viewers                                       p99
  alone                                  {alone:10.1f} ms
  beside 50 that are stuck               {beside:10.1f} ms   ratio {beside / alone:.2f}  <= 1.2

Memory of the relay for each of {MANY} viewers         aim""")
    for name, kb in found.kb_per_viewer.items():
        print(f"  {name:<36}{kb:10.1f} kB    < 64")
    first.show(found.late)


def _by_socket(relay: Peer, *, name: str = "relay, WebSocket", window: int = 2) -> Peer:
    """The same relay, watched over WebSockets."""
    path = f"/api/v1/cameras/watch?{relay.path.partition('?')[2]}"
    watch = json.dumps({**json.loads(relay.watch), "window": window}, separators=(",", ":"))
    return Peer(name, relay.port, relay.process, path, watch)


async def _viewers(
    client: Path,
    peer: Peer,
    *,
    fast: int = 0,
    slow: int = 0,
    stuck: int = 0,
    warm_s: float = WARM_S,
    seconds: float = SECONDS,
) -> Seen:
    kind = "ws" if "/watch?" in peer.path else "mjpeg"
    counts = (str(number) for number in (fast, slow, stuck, SLOW_BYTES_PER_S, warm_s, seconds))
    viewers = await asyncio.create_subprocess_exec(
        str(client), kind, str(peer.port), peer.path, "", peer.watch, *counts,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, preexec_fn=_elsewhere,
    )  # fmt: skip
    assert viewers.stdout is not None
    assert viewers.stdin is not None
    async with asyncio.timeout(warm_s + seconds + STARTING_S):
        assert await viewers.stdout.readline() == b"measuring\n", f"{peer.name}: the viewers gave up"
        before = peer.cpu_s()
        result = json.loads(await viewers.stdout.readline())
        seen = Seen(result, peer.cpu_s() - before, peer.pss_mb())
        viewers.stdin.close()
        await viewers.wait()
    return seen


def _on_first() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _elsewhere() -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {min(cores)} or cores)


@asynccontextmanager
async def _server(*command: str, pin: Callable[[], None] = _on_first) -> AsyncIterator[asyncio.subprocess.Process]:
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, preexec_fn=pin)
    try:
        yield server
    finally:
        server.terminate()
        await server.wait()


@asynccontextmanager
async def _relay(fast_path: str) -> AsyncIterator[Peer]:
    port = free_port()
    async with _server(sys.executable, "-m", "tools.bench.relay", str(port), fast_path) as server:
        assert server.stdout is not None
        async with asyncio.timeout(STARTING_S):
            opened = json.loads(await server.stdout.readline())
        logging = asyncio.create_task(server.stdout.read())  # a full pipe would stop it
        await _until_open(port)
        camera = opened["camera"]
        name = "relay, MJPEG" if fast_path == "auto" else "relay, MJPEG without the fast path"
        path = f"/api/v1/cameras/{camera}/stream?token={opened['token']}"
        watch = json.dumps({"type": "watch", "camera_id": camera, "window": 2}, separators=(",", ":"))
        yield Peer(name, port, psutil.Process(server.pid), path, watch)
        logging.cancel()


@asynccontextmanager
async def _bare() -> AsyncIterator[Peer]:
    port = free_port()
    command = ("uvicorn", "tools.bench.bare_stream:app", "--port", str(port), "--http", "httptools")
    async with _server(sys.executable, "-m", *command, "--log-level", "error") as server:
        await _until_open(port)
        yield Peer("bare ASGI", port, psutil.Process(server.pid))


async def _nginx(stack: AsyncExitStack, folder: Path, source: int) -> Peer | None:
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        return None
    port, configuration = free_port(), folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, source=source))
    return await _opened(stack, "nginx, proxying", port, program, "-c", str(configuration))


async def _mjpeg_proxy(stack: AsyncExitStack, folder: Path, source: int) -> Peer | None:
    npm, node = shutil.which("npm"), shutil.which("node")
    if (
        npm is None
        or node is None
        or not await _run(npm, "install", "--silent", "--prefix", str(folder), "mjpeg-proxy")
    ):
        return None
    port, script = free_port(), folder / "proxy.js"
    script.write_text(_MJPEG_PROXY.format(port=port, source=source))
    return await _opened(stack, "npm mjpeg-proxy", port, node, str(script))


async def _go2rtc(stack: AsyncExitStack, folder: Path, source: int) -> Peer | None:
    program = shutil.which("go2rtc")
    if program is None:
        return None
    port, configuration = free_port(), folder / "go2rtc.json"
    configuration.write_text(
        json.dumps(
            {
                "api": {"listen": f"127.0.0.1:{port}"},
                "rtsp": {"listen": ""},
                "webrtc": {"listen": ""},
                "streams": {"bench": f"http://127.0.0.1:{source}/"},
            }
        )
    )
    peer = await _opened(stack, "go2rtc", port, program, "-config", str(configuration))
    peer.path = "/api/stream.mjpeg?src=bench"
    return peer


async def _opened(stack: AsyncExitStack, name: str, port: int, *command: str) -> Peer:
    server = await stack.enter_async_context(_server(*command))
    await _until_open(port)
    return Peer(name, port, psutil.Process(server.pid))


async def _until_open(port: int) -> None:
    async with asyncio.timeout(STARTING_S):
        while True:
            try:
                _reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def _run(*command: str) -> bool:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(60):
        return await process.wait() == 0
