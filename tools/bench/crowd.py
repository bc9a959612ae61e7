"""How many viewers one core holds, the relay's and go2rtc's, and what they take of memory.

Held is: each gets every picture but one in twenty, and all but one in a hundred in time.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench import relays
from tools.bench.relays import PEERS, Peer, Seen, view
from tools.bench.stamped import FPS

#: Crowds grow by so many until one is not held; where the limit is, is then looked for to within so many.
STEP, MOST, NEAR = 1000, 7000, 250
IN_TIME_MS = 200.0
COMPLETE = 0.95
WARM_S, SECONDS = 3.0, 5.0
ARRIVING_PER_S = 250
#: Memory is compared in a large crowd too, for which both have to hold the pictures of a slower camera: what a viewer
#: takes does not depend on the rate.
LARGE, LARGE_FPS = 3000, 5
#: Another time for whoever nearly held them, within so much of both bounds: the machine may have been busy.
TRIES, NEARLY = 2, 0.8


@dataclass
class Weight:
    """A fresh server's memory, without viewers and with so many.

    Attributes:
        is_held: whether they were served meanwhile.
    """

    count: int
    fps: float
    empty_mb: float
    full_mb: float
    is_held: bool

    @property
    def viewer_kb(self) -> float:
        return (self.full_mb - self.empty_mb) / max(self.count, 1) * 1000


@dataclass
class Crowd:
    """What was seen of one peer, by how many watched."""

    peer: Peer
    seen: dict[int, Seen] = field(default_factory=dict)
    is_over: bool = False
    #: With as many viewers as both hold, and with `LARGE`.
    weights: list[Weight] = field(default_factory=list)

    @property
    def at_limit_mb(self) -> float:
        """Megabytes with the most viewers that it held, of a fresh one where that was weighed."""
        fresh = self.weights[0]
        return fresh.full_mb if self.held == fresh.count else self.seen[self.held].pss_mb

    @property
    def held(self) -> int:
        """The most viewers that it held."""
        return max((count for count, seen in self.seen.items() if holds(seen, count)), default=0)


def holds(seen: Seen, count: int, *, fps: float = FPS) -> bool:
    """Whether so many viewers were served."""
    return _meets(seen, count, 1, fps=fps)


def _meets(seen: Seen, count: int, share: float, *, fps: float = FPS) -> bool:
    """Whether they were served within a share of the bounds."""
    return seen.p99_ms <= IN_TIME_MS / share and seen.frames >= share * COMPLETE * count * fps * SECONDS


async def measure(folder: Path) -> list[Crowd] | None:
    """What each holds, the two in turns, and then their memory; None where viewers cannot be compiled."""
    client = await relays.compiled(folder)
    if client is None:
        return None
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(relays.bare())
        async with AsyncExitStack() as servers:
            crowds = [Crowd(peer) for peer in await _start(servers, folder, bare.port)]
            for count in range(STEP, MOST + 1, STEP):
                for crowd in crowds:
                    if not crowd.is_over:
                        crowd.is_over = not await _is_held(crowd, client, count)
            step = STEP // 2
            while step >= NEAR:
                for crowd in crowds:
                    await _is_held(crowd, client, crowd.held + step)
                step //= 2
        if len(crowds) > 1:
            await _weigh(crowds, folder, bare.port, client, count=min(crowd.held for crowd in crowds))
    if len(crowds) > 1:
        async with relays.bare(fps=LARGE_FPS) as bare:
            await _weigh(crowds, folder, bare.port, client, count=LARGE, fps=LARGE_FPS)
    return crowds


async def _start(servers: AsyncExitStack, folder: Path, source: int, *, fps: float = FPS) -> list[Peer]:
    peers = [await servers.enter_async_context(relays.relay(fps=fps)), await relays.go2rtc(servers, folder, source)]
    return [peer for peer in peers if peer is not None]


async def _is_held(crowd: Crowd, client: Path, count: int) -> bool:
    for _ in range(TRIES):
        seen = crowd.seen[count] = await _view(client, crowd.peer, count)
        if holds(seen, count) or not _meets(seen, count, NEARLY):
            break
    return holds(seen, count)


async def _weigh(crowds: list[Crowd], folder: Path, source: int, client: Path, *, count: int, fps: float = FPS) -> None:
    """The memory of both with so many viewers, each freshly started: what a larger crowd took before, neither gives
    back whole."""
    async with AsyncExitStack() as servers:
        for crowd, peer in zip(crowds, await _start(servers, folder, source, fps=fps), strict=True):
            empty_mb = peer.pss_mb()
            seen = await _view(client, peer, count)
            crowd.weights.append(Weight(count, fps, empty_mb, seen.pss_mb, holds(seen, count, fps=fps)))


async def _view(client: Path, peer: Peer, count: int) -> Seen:
    return await view(client, peer, fast=count, warm_s=WARM_S, seconds=SECONDS, per_s=ARRIVING_PER_S)


def show(crowds: list[Crowd] | None) -> None:
    """Print the figures; `theirs` is what the viewers themselves take of their core."""
    if crowds is None:
        return
    print(
        f"\n{'viewers on one core':<24}{'count':>8}{'p99':>12}{'pictures':>10}{'core':>7}{'memory':>11}{'theirs':>10}"
    )
    for crowd in crowds:
        for count, seen in sorted(crowd.seen.items()):
            share = seen.frames / (count * FPS * SECONDS)
            print(
                f"  {crowd.peer.name:<22}{count:8}{seen.p99_ms:9.0f} ms{share:10.0%}"
                f"{seen.cpu_s / SECONDS:7.0%}{seen.pss_mb:8.0f} MB{seen.result['busy']:10.0%}"
            )
    if len(crowds) == 1:
        print(f"  go2rtc is not here: {PEERS['go2rtc']}")
        return
    ours, theirs = crowds
    print(f"""
  held by the relay, by go2rtc             {ours.held:7}, {theirs.held}         at least as many""")
    for mine, its in zip(ours.weights, theirs.weights, strict=True):
        note = "" if mine.is_held and its.is_held else "; not served by both"
        print(
            f"  memory, {mine.count:5} each at {mine.fps:2} fps, fresh  {mine.full_mb:7.0f} MB, {its.full_mb:.0f} MB"
            f"   ratio {mine.full_mb / max(its.full_mb, 1):.2f}  <= 0.5{note}"
        )
        print(f"    without any                            {mine.empty_mb:7.0f} MB, {its.empty_mb:.0f} MB")
        print(f"    a viewer takes                         {mine.viewer_kb:7.1f} KB, {its.viewer_kb:.1f} KB")
    mine_kb, its_kb = (crowd.at_limit_mb / max(crowd.held, 1) * 1000 for crowd in crowds)
    print(f"  all of it for each viewer, at its limit  {mine_kb:7.1f} KB, {its_kb:.1f} KB")
