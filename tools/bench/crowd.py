"""How many viewers one core holds, the relay's and go2rtc's, and what they take of memory.

Held is: each gets every picture but one in twenty, and all but one in a hundred in time.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench import relays
from tools.bench.relays import PEERS, Peer, Seen, view
from tools.bench.stamped import FPS

STEP, MOST = 1000, 7000
IN_TIME_MS = 200.0
COMPLETE = 0.95
WARM_S, SECONDS = 4.0, 5.0
ARRIVING_PER_S = 250
#: Another time for whoever did not hold them: the machine may have been busy.
TRIES = 2


@dataclass
class Crowd:
    """What was seen of one peer, by how many watched."""

    peer: Peer
    seen: dict[int, Seen] = field(default_factory=dict)
    is_over: bool = False

    @property
    def held(self) -> int:
        """The most viewers that it held."""
        return max((count for count, seen in self.seen.items() if holds(seen, count)), default=0)


def holds(seen: Seen, count: int) -> bool:
    """Whether so many viewers were served."""
    return seen.p99_ms <= IN_TIME_MS and seen.frames >= COMPLETE * count * FPS * SECONDS


async def measure(folder: Path) -> list[Crowd] | None:
    """Crowds that grow until they are not held any more, in turns; None where viewers cannot be compiled."""
    client = await relays.compiled(folder)
    if client is None:
        return None
    async with AsyncExitStack() as stack:
        bare = await stack.enter_async_context(relays.bare())
        crowds = [Crowd(await stack.enter_async_context(relays.relay()))]
        go2rtc = await relays.go2rtc(stack, folder, bare.port)
        if go2rtc is not None:
            crowds.append(Crowd(go2rtc))
        for count in range(STEP, MOST + 1, STEP):
            for crowd in crowds:
                if not crowd.is_over:
                    await _grow(crowd, client, count)
    return crowds


async def _grow(crowd: Crowd, client: Path, count: int) -> None:
    for _ in range(TRIES):
        seen = await view(client, crowd.peer, fast=count, warm_s=WARM_S, seconds=SECONDS, per_s=ARRIVING_PER_S)
        crowd.seen[count] = seen
        if holds(seen, count):
            return
    crowd.is_over = True


def show(crowds: list[Crowd] | None) -> None:
    """Print the figures; `theirs` is what the viewers themselves take of their core."""
    if crowds is None:
        return
    print(
        f"\n{'viewers on one core':<24}{'count':>8}{'p99':>12}{'pictures':>10}{'core':>7}{'memory':>11}{'theirs':>10}"
    )
    for crowd in crowds:
        for count, seen in crowd.seen.items():
            share = seen.frames / (count * FPS * SECONDS)
            print(
                f"  {crowd.peer.name:<22}{count:8}{seen.p99_ms:9.0f} ms{share:10.0%}"
                f"{seen.cpu_s / SECONDS:7.0%}{seen.pss_mb:8.0f} MB{seen.result['busy']:10.0%}"
            )
    if len(crowds) == 1:
        print(f"  go2rtc is not here: {PEERS['go2rtc']}")
        return
    ours, theirs = crowds
    both = min(ours.held, theirs.held)
    print(f"""
  held by the relay, by go2rtc             {ours.held:7}, {theirs.held}         at least as many""")
    if both:
        mine, its = ours.seen[both].pss_mb, theirs.seen[both].pss_mb
        print(
            f"  memory with {both:5} each                 {mine:8.0f} MB, {its:.0f} MB   ratio {mine / its:.2f}  <= 0.5"
        )
