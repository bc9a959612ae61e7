"""What the relay costs, how old pictures are on slow lines, and what stuck viewers do to others.

Every peer sends the same frames to the same viewers in the same run, in turns.
"""

import statistics
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from tools.bench import first, relays
from tools.bench.relays import PEERS, SLOW_BYTES_PER_S, Peer, by_socket, go2rtc_by_socket, view
from tools.bench.stamped import FPS

VIEWERS = 200
MANY = 500
ROUNDS = 3
STUCK_ROUNDS = 8
#: What Traefik keeps for a slow viewer; compose sets both for its container.
KEPT = ("tcp_notsent_lowat", "tcp_rmem")
SLOW_WARM_S, SLOW_SECONDS = 8.0, 8.0


@dataclass
class Relayed:
    """The figures."""

    peers: list[Peer] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    slow_ms: dict[str, float] = field(default_factory=dict)
    alone_ms: list[float] = field(default_factory=list)
    beside_stuck_ms: list[float] = field(default_factory=list)
    kb_per_viewer: dict[str, float] = field(default_factory=dict)
    late: dict[str, first.Seen] = field(default_factory=dict)

    def us(self, name: str) -> float | None:
        """Microseconds for each frame, or None where there is no such peer."""
        return next((statistics.median(peer.us) for peer in self.peers if peer.name == name), None)


async def measure(folder: Path) -> Relayed | None:
    """Everything, or None where viewers cannot be compiled."""
    client = await relays.compiled(folder)
    if client is None:
        return None
    async with AsyncExitStack() as stack:
        fast = await stack.enter_async_context(relays.relay())
        plain = await stack.enter_async_context(relays.relay("off"))
        bare = await stack.enter_async_context(relays.bare())
        found = Relayed(peers=[fast, by_socket(fast), plain, bare])
        proxied = await stack.enter_async_context(first.traefik_before(folder, fast.port))
        found.late = await first.measure(proxied=proxied, port=fast.port, stream=fast.path)
        await _open_others(found, stack, folder, bare.port)
        for _ in range(ROUNDS):
            for peer in found.peers:
                seen = await view(client, peer, fast=VIEWERS)
                peer.us.append(seen.us)
                peer.p99_ms.append(seen.p99_ms)
                assert not seen.result["disorder"], f"{peer.name}: pictures twice or out of order"
        single = by_socket(fast, "relay, WebSocket with a window of 1", window=1)
        through = replace(fast, name="relay through Traefik, MJPEG", port=proxied)
        both = through, by_socket(through, "relay through Traefik, WebSocket")
        for peer in (*(p for p in found.peers if p is not plain), single, *both):
            seen = await view(client, peer, fast=8, slow=2, warm_s=SLOW_WARM_S, seconds=SLOW_SECONDS)
            found.slow_ms[peer.name] = seen.result["slow"]["p50_ms"]
        for _ in range(STUCK_ROUNDS):
            for stuck, ages in ((0, found.alone_ms), (50, found.beside_stuck_ms)):
                seen = await view(client, fast, fast=5, stuck=stuck)
                ages.extend(seen.result["ms"])
    found.kb_per_viewer = await _memory(client)
    return found


async def _open_others(found: Relayed, stack: AsyncExitStack, folder: Path, source: int) -> None:
    for name, open_ in zip(PEERS, (relays.nginx, relays.mjpeg_proxy, relays.go2rtc), strict=True):
        peer = await open_(stack, folder, source)
        if peer is None:
            found.missing.append(name)
            continue
        found.peers.append(peer)
        if name == "go2rtc":
            found.peers.append(go2rtc_by_socket(peer))


async def _memory(client: Path) -> dict[str, float]:
    """Kilobytes for each viewer, each kind at a service that had none before."""
    found = {}
    for name, is_socket, kinds in (
        ("MJPEG, all read", False, {"fast": MANY}),
        ("MJPEG, all stuck", False, {"stuck": MANY}),
        ("WebSocket, all read", True, {"fast": MANY}),
    ):
        async with relays.relay() as fresh:
            before = fresh.pss_mb()
            seen = await view(client, by_socket(fresh) if is_socket else fresh, **kinds)
            found[name] = (seen.pss_mb - before) * 1000 / MANY
    return found


def show(found: Relayed | None) -> None:
    """Print the figures."""
    if found is None:
        return
    columns = "".join(f"{'of ' + name:>20}" for name in ("bare ASGI", "go2rtc", "its WebSocket"))
    print(f"\n{f'{VIEWERS} viewers, 45 kB at {FPS} fps':<36}{'CPU per frame':>16}{columns}       p99")
    against = [found.us(name) for name in ("bare ASGI", "go2rtc", "go2rtc, WebSocket")]
    for peer in found.peers:
        us = statistics.median(peer.us)
        ratios = "".join(f"{us / other:20.2f}" if other else f"{'-':>20}" for other in against)
        print(f"  {peer.name:<36}{us:11.1f} us{ratios}{statistics.median(peer.p99_ms):8.1f} ms")
    for name in found.missing:
        print(f"  {name:<36}  is not here: {PEERS[name]}")
    print(f"""
At {SLOW_BYTES_PER_S // 1000} kB/s, beside others that are fast     age of the picture, p50      aim
where Traefik runs {", ".join(f"{name} is {_sysctl(name)}" for name in KEPT)}""")
    aims = {"relay, MJPEG": "<= 1500 ms", "relay, WebSocket": "<= 400 ms"}
    for name, ms in found.slow_ms.items():
        print(f"  {name:<40}{ms:16.0f} ms      {aims.get(name, '')}")
    alone, beside = _p99(found.alone_ms), _p99(found.beside_stuck_ms)
    print(f"""
5 viewers, {len(found.alone_ms)} pictures of each            p99
  alone                                  {alone:10.1f} ms
  beside 50 that are stuck               {beside:10.1f} ms   ratio {beside / alone:.2f}  <= 1.2

Memory of the relay for each of {MANY} viewers         aim""")
    for name, kb in found.kb_per_viewer.items():
        print(f"  {name:<36}{kb:10.1f} kB    < 64")
    first.show(found.late)


def _sysctl(name: str) -> str:
    return " ".join(Path("/proc/sys/net/ipv4", name).read_text().split())


def _p99(ages: list[float]) -> float:
    return statistics.quantiles(ages, n=100)[98]
