"""Reports are counted once, and no outcome changes afterwards."""

import asyncio
import json
from uuid import uuid4

import pytest

from support.queue import QueueWorld, code


class TestReport:
    async def test_a_print_ends_and_the_bed_waits_for_a_person(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        assert (await world.report(attempt, "completed", evidence={"prints": {"success": 1}})).status_code == 200
        assert (await world.job_now(job))["state"] == "completed"
        await world.job()
        assert await world.claim(printer) is None
        assert (await world.bed_cleared(printer, attempt)).status_code == 200
        assert await world.claim(printer) is not None

    async def test_the_same_report_fifty_times_counts_once(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job(copies=3)
        attempt, report_id = await world.printing(printer), uuid4()
        answers = await asyncio.gather(*(world.report(attempt, "completed", report_id=report_id) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert (await world.job_now(job))["copies_completed"] == 1

    async def test_the_same_outcome_under_new_ids_counts_once(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job(copies=3)
        attempt = await world.printing(printer)
        answers = [await world.report(attempt, "completed") for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        assert (await world.job_now(job))["copies_completed"] == 1

    async def test_a_late_contradiction_is_refused(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.report(attempt, "completed")
        assert code(await world.report(attempt, "failed", reason="print_failed")) == "attempt_ended"
        assert (await world.job_now(job))["state"] == "completed"

    async def test_nothing_prints_without_a_permit(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        for kind in ("started", "completed", "unknown"):
            assert code(await world.report(attempt, kind)) == "transition_refused"

    async def test_a_failed_print_fails_the_job_and_no_further_copy_starts(self, world: QueueWorld) -> None:
        printer, other = await world.printer("one"), await world.printer("two")
        job = await world.job(copies=5)
        attempt = await world.printing(printer)
        await world.report(attempt, "failed", reason="print_failed", detail="Thermal runaway")
        now = await world.job_now(job)
        assert (now["state"], now["reason"], now["detail"]) == ("failed", "print_failed", "Thermal runaway")
        assert await world.claim(other) is None

    async def test_a_cancel_at_the_printer_cancels_the_job(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job(copies=2)
        attempt = await world.printing(printer)
        await world.report(attempt, "cancelled", reason="cancelled_at_printer")
        assert (await world.job_now(job))["state"] == "cancelled"
        assert await world.claim(printer) is None

    async def test_releases_with_a_fault_end_after_a_bound(self, world: QueueWorld) -> None:
        job = await world.job()
        for number in range(5):
            printer = await world.printer(f"P{number}")
            attempt = await world.claimed(printer)
            await world.report(attempt, "released", reason="transfer_failed", detail="OctoPrint's disk is full")
        now = await world.job_now(job)
        assert (now["state"], now["reason"]) == ("failed", "transfer_failed")
        assert await world.claim(await world.printer("another")) is None

    async def test_a_refused_start_gives_the_job_back_but_not_the_bed(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        await world.permit(attempt)
        await world.report(attempt, "released", reason="start_refused")
        assert (await world.job_now(job))["state"] == "queued"
        assert (await world.printer_now(printer))["bed"]["state"] == "occupied"
        assert await world.claim(printer) is None


class TestHostileBridge:
    async def test_a_persons_reasons_are_not_a_bridges(self, world: QueueWorld) -> None:
        """A claim takes such a copy for given up: a job of one copy would never be claimed again, nor any behind it."""
        printer = await world.printer()
        await world.job()
        attempt = await world.claimed(printer)
        answer = await world.report(attempt, "released", reason="resolved_drop")
        assert answer.status_code == 422
        assert "what a person decided" in answer.text

    @pytest.mark.parametrize(
        "change",
        [
            {"detail": "zero \0 byte"},
            {"evidence": {"text": "\0"}},
            {"evidence": {"half": "\ud800"}},
            {"evidence": {"key\0": 1}},
            {"evidence": {"deep": [[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}},
            {"evidence": {"long": "x" * 20_000}},
        ],
        ids=lambda change: next(iter(change)),
    )
    async def test_what_cannot_be_stored_is_a_422(self, world: QueueWorld, change: dict[str, object]) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        body = {"fence": attempt["fence"], "report_id": str(uuid4()), "kind": "unknown", **change}
        content = json.dumps(body)  # as ASCII: half a surrogate pair has no other way in
        answer = await world.call("POST", f"/attempts/{attempt['id']}/reports", content=content)
        assert answer.status_code == 422, answer.text
        assert (await world.send("GET", f"/attempts/{attempt['id']}")).json()["state"] == "printing"
