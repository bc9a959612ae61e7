"""Copies of one job on several printers, and printers that give back what they took."""

import asyncio

import pytest

from support.queue import QueueWorld, code


class TestSiblings:
    """Copies of one job on several printers: what happens to one must not hold the other's printer."""

    @pytest.mark.parametrize(("kind", "state"), [("failed", "failed"), ("cancelled", "cancelled")])
    async def test_a_claim_ends_with_its_job(self, world: QueueWorld, kind: str, state: str) -> None:
        left, right = await world.printer("left"), await world.printer("right")
        job = await world.job(copies=2)
        first, second = await world.printing(left), await world.claimed(right)
        await world.report(first, kind, reason="print_failed")
        assert (await world.job_now(job))["state"] == state
        assert code(await world.permit(second)) == "attempt_ended"
        await world.job()
        assert await world.claim(right) is not None

    async def test_an_unknown_copy_leaves_the_other_alone(self, world: QueueWorld) -> None:
        left, right = await world.printer("left"), await world.printer("right")
        await world.job(copies=2)
        first, second = await world.printing(left), await world.claimed(right)
        await world.report(first, "unknown", reason="not_decidable")
        assert (await world.permit(second)).status_code == 200

    async def test_cancel_against_repeated_permits_never_deadlocks(self, world: QueueWorld) -> None:
        for number in range(6):
            printer, job = await world.printer(f"P{number}"), await world.job()
            attempt = await world.claimed(printer)
            await world.permit(attempt)
            permits = [world.permit(attempt) for _ in range(8)]
            cancel = world.send("POST", f"/jobs/{job}/cancel")
            answers = await asyncio.gather(*permits[:4], cancel, *permits[4:])
            assert {answer.status_code for answer in answers} <= {200, 409}
            assert (await world.job_now(job))["state"] == "cancelling"

    async def test_a_sick_printer_does_not_drain_the_queue(self, world: QueueWorld) -> None:
        sick, healthy = await world.printer("sick"), await world.printer("healthy")
        job = await world.job()
        await world.report(await world.claimed(sick), "released", reason="transfer_failed")
        assert await world.claim(sick) is None
        assert (await world.claimed(healthy))["job_id"] == job

    async def test_being_busy_is_no_fault(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        for _ in range(7):
            await world.report(await world.claimed(printer), "released", reason="printer_busy")
        assert (await world.job_now(job))["state"] == "queued"
