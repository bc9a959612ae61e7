"""Whether what processes hold stays flat."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from tools.bench.memory import pss_mb

#: What a process may have gained from the second quarter of a run to its last: allocators and caches breathe.
GROWTH_MB = 8.0
GROWTH_SHARE = 0.05
GROWTH_FDS = 20


@dataclass
class Held:
    """Samples of one process, evenly over the run."""

    name: str
    mb: list[float] = field(default_factory=list)
    fds: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def sample(self, process: psutil.Process) -> None:
        with process.oneshot():
            self.mb.append(pss_mb(process))
            self.fds.append(process.num_fds())
            self.threads.append(process.num_threads())

    @property
    def growth_mb(self) -> float:
        """Between the medians of the second quarter and the last: the first one is warming up."""
        return _growth(self.mb)

    @property
    def growth_fds(self) -> float:
        return _growth(self.fds)

    @property
    def is_flat(self) -> bool:
        allowed = max(GROWTH_MB, GROWTH_SHARE * statistics.median(self.mb))
        return self.growth_mb <= allowed and self.growth_fds <= GROWTH_FDS

    def show(self) -> str:
        quarters = "  ".join(f"{statistics.median(part):7.1f}" for part in _quarters(self.mb))
        return (
            f"  {self.name:<10}{quarters}   {self.growth_mb:+7.1f} MB   {self.growth_fds:+4.0f}"
            f"   {max(self.threads):3}   {'flat' if self.is_flat else 'GROWS'}"
        )


def _growth(samples: Sequence[float]) -> float:
    quarters = _quarters(samples)
    return statistics.median(quarters[-1]) - statistics.median(quarters[1])


def _quarters(samples: Sequence[float]) -> list[Sequence[float]]:
    size = len(samples) // 4
    assert size, "too few samples"
    return [samples[size * n : size * (n + 1)] for n in range(3)] + [samples[size * 3 :]]
