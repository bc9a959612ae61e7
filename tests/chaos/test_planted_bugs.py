"""Bugs that the harness must catch: each takes away one thing that keeps a print from happening twice or too early.

Each scenario is run with the bug and without it, so that it is the bug that is caught and nothing else.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.conftest import Bench
from support.queue import eventually
from tools.chaos import story, verdict
from tools.chaos.facts import Facts
from tools.chaos.people import Look
from tools.chaos.plan import Plan, Wish
from tools.chaos.system import BRIDGE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

QUEUE = "fluxprint_queue.attempts.service"
BED_NOT_CHECKED = [
    QUEUE, "printer.bed_state != BedState.CLEAR", "False",
    "fluxprint_queue.attempts.repository", "AND p.bed_state = 'clear'", "",
    "fluxprint_queue.bridge.repository", "Printer.bed_state == BedState.CLEAR", "Printer.bed_state != ''",
]  # fmt: skip
STALE_LOOK_ACCEPTED = [
    "fluxprint_queue.printers.repository", "AND p.bed_attempt_id IS NOT DISTINCT FROM CAST(:attempt_id AS uuid)", "",
    "fluxprint_queue.printers.repository", "OR p.bed_changed_at = :changed_at", "OR true",
]  # fmt: skip
FENCE_REMOVED = [QUEUE, "if held.attempt.fence != fence:", "if False:"]
KEY_IGNORED = ["fluxprint_queue.idempotency.service", "if key is None:", "if True:"]
STARTED_AGAIN = [
    "fluxprint_bridge.printer.worker",
    "await self._watch(Work(record",
    "await self._desk.octoprint.select_and_print(record.path); await self._watch(Work(record",
]


def planted(changes: Sequence[str], program: str) -> list[str]:
    return [sys.executable, "-P", str(Path(__file__).with_name("planted.py")), *changes, program]


@asynccontextmanager
async def bug(bench: Bench, name: str, changes: Sequence[str], *, there: bool) -> AsyncIterator[None]:
    """Run a service or a bridge with a bug, if it is to be there."""
    good = BRIDGE if name.startswith("bridge") else (sys.executable, "-P", "-m", f"fluxprint_{name}")
    if there:
        await bench.system.replace(name, planted(changes, good[-1]))
    try:
        yield
    finally:
        if there:
            await bench.system.replace(name, good)


async def submitted(bench: Bench, name: str, *, copies: int = 1, times: int = 1) -> tuple[Plan, Facts]:
    """A job of a third of a second, on a bed that somebody has just cleared."""
    facts = Facts()
    bench.system.timeline.clear()
    plan = Plan(name, (Wish(0, f"{name}-0", 0.3, copies, None, True, times),), (), ())
    await cleared(bench, facts)
    await bench.people.wish(plan.wishes[0], facts)
    return plan, facts


async def cleared(bench: Bench, facts: Facts) -> Look:
    """Clear the bed if something lies there; what was seen of it."""
    look = await bench.people.look(0)
    if look.bed["state"] == "occupied":
        await bench.people.confirm_bed(0, look, facts)
    return look


async def broken(bench: Bench, plan: Plan, facts: Facts) -> set[str]:
    """The rules that the verdict finds broken once everything has ended."""
    await bench.runner.settle(plan, facts)
    violations = verdict.judge(facts)
    print(story.tell(plan, facts, bench.system.timeline, violations))  # shown where the test fails
    return {violation.rule for violation in violations}


async def attempt_is(bench: Bench, facts: Facts, *states: str, copies: int = 1) -> None:
    """Wait until so many attempts of the job are in one of these states."""
    job = facts.asked[0].answered[0]

    async def there() -> bool:
        attempts = (await bench.people.must("GET", f"/jobs/{job}/attempts"))["items"]
        return sum(attempt["state"] in states for attempt in attempts) == copies

    await eventually(there, within_s=20)


async def until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not look():
            await asyncio.sleep(0.02)


def logged(bench: Bench, what: str) -> int:
    """How many prints were `started` or `done` so far by OctoPrint's log."""
    return bench.system.octoprints[0].log.read_text().count(f"Print job {what}")


@pytest.mark.parametrize("there", [True, False], ids=["bug", "no bug"])
class TestPlantedBugs:
    async def test_a_bed_that_nobody_checks(self, bench: Bench, there: bool) -> None:
        async with bug(bench, "queue", BED_NOT_CHECKED, there=there):
            plan, facts = await submitted(bench, f"bed-{there}", copies=2)
            await attempt_is(bench, facts, "completed", copies=2 if there else 1)
            assert await broken(bench, plan, facts) == ({"not on an occupied bed"} if there else set())

    async def test_a_bed_that_is_confirmed_by_an_old_look(self, bench: Bench, there: bool) -> None:
        """Somebody saw the first copy, and says only after the second that the bed is clear."""
        async with bug(bench, "queue", STALE_LOOK_ACCEPTED, there=there):
            plan, facts = await submitted(bench, f"look-{there}", copies=3)
            await attempt_is(bench, facts, "completed")
            old = await cleared(bench, facts)
            await attempt_is(bench, facts, "completed", copies=2)
            await bench.people.confirm_bed(0, old, facts)
            if there:
                await attempt_is(bench, facts, "completed", copies=3)
            assert await broken(bench, plan, facts) == ({"not on an occupied bed"} if there else set())

    async def test_a_permit_for_whoever_was_fenced_off(self, bench: Bench, there: bool) -> None:
        """A twin takes over and gives the attempt back; the first bridge's request for a permit comes in between."""
        cloud = bench.system.links["bridge-0/cloud"]
        async with bug(bench, "queue", FENCE_REMOVED, there=there):
            cloud.stall_at(b"/permit")
            starts = logged(bench, "started")
            plan, facts = await submitted(bench, f"fence-{there}")
            await until(lambda: cloud.is_stalled)
            async with bench.system.twin("bridge-0", with_journal=False) as twin:
                of_twin = bench.system.links[f"{twin}/cloud"]
                of_twin.stall_at(b"/reports")
                await until(lambda: of_twin.is_stalled)
                await cloud.heal()
                if there:
                    await until(lambda: logged(bench, "started") > starts)
                await of_twin.heal()
                await attempt_is(bench, facts, *(["released"] if there else ["claimed", "released", "completed"]))
            rules = await broken(bench, plan, facts)
            assert rules >= {"released means not started", "each copy once"} if there else not rules

    async def test_a_bridge_that_presses_start_again_after_its_restart(self, bench: Bench, there: bool) -> None:
        async with bug(bench, "bridge-0", STARTED_AGAIN, there=there):
            plan, facts = await submitted(bench, f"again-{there}")
            await attempt_is(bench, facts, "printing")
            await bench.system.kill("bridge-0", down_s=1)
            rules = await broken(bench, plan, facts)
            assert rules >= {"started once", "not on an occupied bed"} if there else not rules

    async def test_a_key_that_nobody_looks_at(self, bench: Bench, there: bool) -> None:
        async with bug(bench, "queue", KEY_IGNORED, there=there):
            plan, facts = await submitted(bench, f"key-{there}", times=3)
            assert await broken(bench, plan, facts) == ({"one key makes one job"} if there else set())
