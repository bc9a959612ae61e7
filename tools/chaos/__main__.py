"""`make chaos`: so many runs of broken days, and whether every promise held. Ends with 1 if one did not."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tools.chaos import plan, story, verdict
from tools.chaos.facts import Facts
from tools.chaos.people import People
from tools.chaos.plan import Plan
from tools.chaos.run import Runner
from tools.chaos.system import Suffered, System, running
from tools.chaos.verdict import Violation

#: Of which bridge which printers are.
BRIDGES = ([0, 1], [2])
IN_MEMORY_BYTES = 2 * 1024**3


@dataclass
class Tally:
    """Sums over all runs."""

    began: float = field(default_factory=time.monotonic)
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    timed: int = 0
    missed: int = 0
    jobs: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    started: int = 0
    done: int = 0
    resolved: int = 0
    violations: list[Violation] = field(default_factory=list)

    def add(self, suffered: list[Suffered], facts: Facts, violations: list[Violation]) -> None:
        self.runs += 1
        for one in suffered:
            # Of a link what it leads to.
            name = one.fault.target.rpartition("/")[2].partition("-")[0]
            self.faults[f"{one.fault.kind} {name}"] += one.struck
            self.timed += one.struck and one.timed
            self.missed += not one.struck
        self.jobs.update(job.state for job in facts.jobs)
        self.attempts.update(attempt.state for attempt in facts.attempts)
        lines = Counter(line.kind for line in facts.log if line.at >= facts.began_at)
        self.started += lines["started"]
        self.done += lines["done"]
        self.resolved += sum(attempt.resolved for attempt in facts.attempts)
        self.violations += violations

    def show(self) -> str:
        seconds = time.monotonic() - self.began
        faults = "\n".join(f"  {name:<24}{count:>6}" for name, count in sorted(self.faults.items()))
        return (
            f"runs        {self.runs}, {seconds:.0f} s, {seconds / max(self.runs, 1):.1f} s each\n"
            f"faults      {self.faults.total()}, {self.timed} of them at the moment of a request; "
            f"{self.missed} more found nothing to break\n{faults}\n"
            f"prints      {self.started} started, {self.done} done by OctoPrint's logs\n"
            f"jobs        {_listed(self.jobs)}\n"
            f"attempts    {_listed(self.attempts)}; {self.resolved} resolved by a person\n"
            f"violations  {len(self.violations)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="fluxprint chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=int(os.environ.get("RUNS") or 30))
    parser.add_argument("--seed", default=os.environ.get("SEED") or f"{time.time_ns() % 1_000_000}")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the number of the first run")
    parser.add_argument("--stories", type=Path, default=Path("chaos-stories"), help="where violations are told")
    parser.add_argument("--tell-all", action="store_true", help="tell runs without violations too")
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fluxprint-chaos-", dir=_in_memory()))
    tally = Tally()
    try:
        asyncio.run(_chaos(folder, wanted, tally))
    except asyncio.CancelledError:
        print("\ninterrupted")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        print(f"\nseed        {wanted.seed}\n{tally.show()}")
    sys.exit(1 if tally.violations or tally.runs < wanted.runs else 0)


async def _chaos(folder: Path, wanted: argparse.Namespace, tally: Tally) -> None:
    seed = wanted.seed
    async with running(folder) as system, People(system) as people:
        await system.add_octoprints(sum(len(printers) for printers in BRIDGES))
        for number, printers in enumerate(BRIDGES):
            await people.add_bridge(system, printers, redis=number == 1)
        runner = Runner(system, people)
        await runner.ready()
        facts = Facts()
        print(f"seed {seed}: {len(system.octoprints)} OctoPrints, {len(BRIDGES)} bridges", flush=True)
        for run in range(wanted.first, wanted.first + wanted.runs):
            began = time.monotonic()
            planned = plan.draw(
                seed, run, printers=len(system.octoprints), bridges=list(system.bridges), links=list(system.links)
            )
            facts = await runner.run(planned, facts)
            violations = verdict.judge(facts)
            tally.add(system.timeline.suffered, facts, violations)
            _report(planned, facts, violations, took_s=time.monotonic() - began)
            if violations or wanted.tell_all:
                _tell(planned, facts, system, violations, wanted.stories)
            if facts.stuck is not None:
                break  # what hangs would hang the next run too


def _report(done: Plan, facts: Facts, violations: list[Violation], *, took_s: float) -> None:
    faults = ", ".join(str(fault) for fault in sorted(done.faults, key=lambda fault: fault.at_s))
    jobs = _listed(Counter(job.state for job in facts.jobs))
    print(f"{done.name}  {took_s:4.1f} s  {jobs}  [{faults}]", flush=True)
    for violation in violations:
        print(f"  VIOLATION {violation.rule}: {violation.text}")


def _tell(done: Plan, facts: Facts, system: System, violations: list[Violation], stories: Path) -> None:
    place = stories / done.name
    place.mkdir(parents=True, exist_ok=True)
    (place / "story.md").write_text(story.tell(done, facts, system.timeline, violations))
    if violations:
        shutil.copytree(system.folder / "logs", place / "logs", dirs_exist_ok=True)
    print(f"  told in {place / 'story.md'}", flush=True)


def _in_memory() -> Path | None:
    """A place without a disk, if there is one: what is killed does not lose it, and a database is back in no time."""
    place = Path("/dev/shm")  # noqa: S108
    return place if place.is_dir() and shutil.disk_usage(place).free > IN_MEMORY_BYTES else None


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


main()
