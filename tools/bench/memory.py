"""What the cloud side takes while nobody asks anything of it, as the kernel shares it out (PSS)."""

from pathlib import Path

import psutil

from tools.bench.system import System

FORKS = "forks"
CLOUD = ("auth", "queue", "camera", "postgres", "redis", "traefik")


def measure(system: System) -> dict[str, float]:
    """Megabytes (10^6 bytes) of each part with its children, of what forks the services, and of the supervisor."""
    parts = {name: _tree_mb(system.process(name)) for name in CLOUD}
    return {**parts, FORKS: pss_mb(system.fork_server), "supervisor": pss_mb(system.supervisor)}


def cloud_mb(parts: dict[str, float]) -> float:
    """The sum of all but the supervisor: in containers the engine is that."""
    return sum(parts[name] for name in (*CLOUD, FORKS))


def _tree_mb(process: psutil.Process) -> float:
    return sum(pss_mb(one) for one in [process, *process.children(recursive=True)])


def pss_mb(process: psutil.Process) -> float:
    """Proportional set size: a page that n processes share counts 1/n for each (proc(5), smaps_rollup)."""
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Pss":
            return int(value.split()[0]) * 1024 / 1e6
    raise ValueError(f"no Pss for {process}")
