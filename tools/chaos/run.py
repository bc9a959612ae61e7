"""One run: the plan is carried out, everything is healed, people put right what only they can, and facts are read."""

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine

from fluxprint_local.octoprint import OctoPrint, OctoPrintFailed
from tools.chaos import records
from tools.chaos.facts import Facts
from tools.chaos.people import Json, People
from tools.chaos.plan import CHAOS_S, Order, Plan
from tools.chaos.records import OctoPrintLog
from tools.chaos.system import System

PATIENCE_S = 90
POLL_S = 0.1
OVER = {"completed", "failed", "cancelled"}


class Runner:
    """Does run after run on one system, and keeps what the next run has to know of the one before."""

    def __init__(self, system: System, people: People) -> None:
        self._system = system
        self._people = people
        self._logs = [OctoPrintLog(number, octoprint.log.parent) for number, octoprint in enumerate(system.octoprints)]

    async def run(self, plan: Plan, before: Facts) -> Facts:
        """Everything about one run, and the last of the one before."""
        facts = before.last()
        facts.began_at = time.time()
        self._system.timeline.clear()
        await self._people.log_in_again()
        await self._chaos(plan, facts)
        if facts.stuck is None:
            await self.settle(plan, facts)
        return facts

    async def settle(self, plan: Plan, facts: Facts) -> None:
        """Wait until all has ended, with the help of people, and read what there is to read about it."""
        left: str | None = "the system is not back"
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._system.healed()
                while (left := await self._left(plan, facts)) is not None:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            facts.stuck = left
        await self._read(plan, facts)
        facts.crashes = [*self._system.timeline.crashes, *self._system.broken_loops()]

    async def ready(self) -> None:
        """Wait until the bridges show their printers.

        Raises:
            RuntimeError: a process ended though nobody killed it.
        """
        async with asyncio.timeout(PATIENCE_S):
            for printer in self._people.printers:
                while (await self._people.must("GET", f"/printers/{printer}"))["connection"] != "online":
                    if self._system.timeline.crashes:
                        raise RuntimeError(f"not ready: {self._system.timeline.crashes[0]}, see its log")
                    await asyncio.sleep(POLL_S)

    async def _chaos(self, plan: Plan, facts: Facts) -> None:
        dice = random.Random(plan.name)
        over = asyncio.Event()  # not a cancellation: what was asked is answered, and noted
        beds = [
            asyncio.create_task(self._people.confirm_beds(number, facts, random.Random(dice.random()), over))
            for number in range(len(self._logs))
        ]
        wishes = [_after(wish.at_s, self._people.wish(wish, facts)) for wish in plan.wishes]
        orders = [_after(order.at_s, self._order(order, plan, facts)) for order in plan.orders]
        faults = [_after(fault.at_s, self._system.suffer(fault)) for fault in plan.faults]
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*wishes, *orders, *faults, asyncio.sleep(CHAOS_S))
                over.set()
                await asyncio.gather(*beds)
        except TimeoutError:
            facts.stuck = "somebody's requests"
        finally:
            for task in beds:
                task.cancel()

    async def _order(self, order: Order, plan: Plan, facts: Facts) -> None:
        await self._system.moment(order.moment)
        await self._people.order(order, plan.wishes[order.wish], facts)

    # -- putting right -------------------------------------------------------------------------------------------------

    async def _left(self, plan: Plan, facts: Facts) -> str | None:
        """What has not ended yet, after doing about it what a person does."""
        left: list[str] = []
        for number, octoprint in enumerate(self._system.octoprints):
            left += await self._see_to_printer(number, octoprint, facts)
        jobs = await self._people.must("GET", "/jobs", params={"limit": 100})
        for job in jobs["items"]:
            if job["name"].startswith(f"{plan.name}-"):
                if job["state"] == "cancelled":
                    facts.cancelled.setdefault(job["id"], time.time())
                if job["state"] not in OVER:
                    left.append(f"{job['name']} is {job['state']}")
                    await self._see_to_job(job, facts)
        return "; ".join(left) or None

    async def _see_to_printer(self, number: int, octoprint: OctoPrint, facts: Facts) -> list[str]:
        """Connect it, and take off what lies on it."""
        state = await octoprint.state()
        if state is not None and state.startswith("Offline"):
            self._system.timeline.note(f"printer {number} is {state}: connected by hand")
            with contextlib.suppress(OctoPrintFailed):
                await octoprint.connect()
        look = await self._people.look(number)
        if state == "Operational" and look.bed["state"] != "clear":
            await self._people.confirm_bed(number, look, facts)
        elif state == "Operational":
            return []
        return [f"printer {number} is {state}, its bed {look.bed['state']}"]

    async def _see_to_job(self, job: Json, facts: Facts) -> None:
        """Resume what is paused; decide what is unknown, by what OctoPrint wrote down."""
        attempts = await self._people.must("GET", f"/jobs/{job['id']}/attempts")
        for attempt in attempts["items"]:
            if attempt["state"] == "paused":
                await self._people.send("POST", f"/jobs/{job['id']}/resume")
            if attempt["state"] == "unknown":
                await self._resolve(attempt, facts)

    async def _resolve(self, attempt: Json, facts: Facts) -> None:
        number = self._people.printers.index(attempt["printer_id"])
        self._read_logs(facts)
        lines = [line.kind for line in facts.log if line.path is not None and attempt["id"] in line.path]
        if await self._system.octoprints[number].state() != "Operational":
            return
        by_id = int(attempt["id"][-4:], 16)
        outcome = "printed" if "done" in lines else ("failed_requeue", "failed_drop")[by_id % 2]
        answer = await self._people.send("POST", f"/attempts/{attempt['id']}/resolve", json={"outcome": outcome})
        told = f"{answer.status_code}" if answer is not None else "no answer"
        self._system.timeline.note(f"{attempt['id']} is unknown, OctoPrint's log says {lines}: {outcome}, {told}")

    # -- reading -------------------------------------------------------------------------------------------------------

    def _read_logs(self, facts: Facts) -> None:
        for log in self._logs:
            facts.log += log.news()
        facts.log.sort(key=lambda line: line.at)

    async def _read(self, plan: Plan, facts: Facts) -> None:
        printers = {printer: number for number, printer in enumerate(self._people.printers)}
        await records.read_queue(facts, self._system.database_url, plan.name, printers)
        self._read_logs(facts)
        await records.read_history(facts, self._system.octoprints)


async def _after(seconds: float, work: Coroutine[None, None, None]) -> None:
    await asyncio.sleep(seconds)
    await work
