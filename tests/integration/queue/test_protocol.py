"""Claim, lease, permit, report: the promises that a print starts once and is never lost."""

import asyncio
import json
from collections import Counter
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from fluxprint_common.ids import show
from support.queue import QueueWorld, code, eventually, start_queue
from support.servers import Database
from support.tokens import Issuer


class TestClaim:
    async def test_it_takes_the_job_and_says_what_to_print(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        assignment = await world.claim(printer)
        assert assignment is not None
        assert assignment["attempt"]["job_id"] == job
        assert assignment["attempt"]["same_journal"] is True
        assert assignment["attempt"]["state"] == "claimed"
        assert 50 < assignment["attempt"]["lease_expires_in_s"] <= 60
        assert (await world.job_now(job))["state"] == "active"
        content = await world.call("GET", f"/attempts/{assignment['attempt']['id']}/file", expect=200)
        assert content.headers["etag"] == f'"{assignment["file"]["sha256"]}"'
        assert len(content.content) == assignment["file"]["size_bytes"]

    async def test_fifty_claims_at_once_open_one_attempt(self, world: QueueWorld) -> None:
        printer = await world.printer()
        for _ in range(3):
            await world.job()
        found = await asyncio.gather(*(world.claim(printer) for _ in range(50)))
        attempts = {item["attempt"]["id"] for item in found if item}
        assert len(attempts) == 1
        states = Counter(job["state"] for job in (await world.send("GET", "/jobs")).json()["items"])
        assert states == {"active": 1, "queued": 2}

    async def test_ten_printers_share_ten_jobs(self, world: QueueWorld) -> None:
        printers = [await world.printer(f"P{number}") for number in range(10)]
        jobs = {await world.job() for _ in range(10)}
        found = await asyncio.gather(*(world.claimed(printer) for printer in printers))
        assert {attempt["job_id"] for attempt in found} == jobs

    async def test_copies_go_to_several_printers_and_each_is_tried_once(self, world: QueueWorld) -> None:
        printers = [await world.printer(f"P{number}") for number in range(4)]
        job = await world.job(copies=3)
        found = [await world.claim(printer) for printer in printers]
        assert [item and item["attempt"]["copy_number"] for item in found] == [1, 2, 3, None]
        assert (await world.job_now(job))["state"] == "active"

    async def test_priority_then_age_decides(self, world: QueueWorld) -> None:
        late, urgent, last = await world.job(), await world.job(priority=80), await world.job()
        printers = [await world.printer(f"P{number}") for number in range(3)]
        assert [(await world.claimed(printer))["job_id"] for printer in printers] == [urgent, late, last]

    async def test_a_job_for_one_printer_waits_for_that_one(self, world: QueueWorld) -> None:
        left, right = await world.printer("left"), await world.printer("right")
        job = await world.job(printer_id=right)
        assert await world.claim(left) is None
        assert (await world.claimed(right))["job_id"] == job

    async def test_nothing_is_claimed_for_an_uncleared_bed_or_a_disabled_printer(self, world: QueueWorld) -> None:
        printer = await world.printer(clear=False)
        await world.job()
        assert await world.claim(printer) is None
        await world.bed_cleared(printer, None)
        etag = (await world.send("GET", f"/printers/{printer}")).headers["etag"]
        await world.send(
            "PATCH", f"/printers/{printer}", json={"enabled": False}, headers={"If-Match": etag}, expect=200
        )
        assert await world.claim(printer) is None

    async def test_a_bridge_claims_only_for_its_own_printers(self, world: QueueWorld) -> None:
        printer = await world.printer()
        await world.job()
        for stranger in (world.another_bridge(), world.neighbour()):
            body = {"journal_id": str(stranger.journal)}
            answer = await stranger.call("POST", f"/printers/{printer}/claim", json=body)
            assert code(answer) == "printer_not_found"

    async def test_another_organisations_job_is_never_taken(self, world: QueueWorld) -> None:
        await world.job()
        other = world.neighbour()
        assert await other.claim(await other.printer()) is None


class TestAdoption:
    async def test_a_second_claim_takes_over_and_fences_the_first(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        old = await world.claimed(printer)
        new = await world.claimed(printer)
        assert new["id"] == old["id"]
        assert new["fence"] > old["fence"]
        assert code(await world.permit(old)) == "fence_stale"
        lease = await world.call("POST", f"/attempts/{old['id']}/lease", json={"fence": old["fence"]})
        assert code(lease) == "fence_stale"
        assert code(await world.report(old, "released", reason="x")) == "fence_stale"
        assert (await world.permit(new)).status_code == 200

    async def test_another_journal_never_gets_the_permit(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        await world.claimed(printer)
        other = uuid4()
        taken = await world.claim(printer, journal=other)
        assert taken is not None
        assert (taken["attempt"]["state"], taken["attempt"]["same_journal"]) == ("claimed", False)
        assert code(await world.permit(taken["attempt"], journal=other)) == "journal_mismatch"

    async def test_a_permit_for_one_journal_is_not_given_again_to_another(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        assert (await world.permit(await world.claimed(printer))).status_code == 200
        taken = await world.claim(printer, journal=uuid4())
        assert taken is not None
        assert code(await world.permit(taken["attempt"], journal=uuid4())) == "journal_mismatch"
        again = await world.claimed(printer)
        assert (await world.permit(again)).status_code == 200


class TestPermit:
    async def test_it_occupies_the_bed(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        answer = await world.permit(attempt)
        assert answer.json() == {"attempt_id": attempt["id"], "fence": attempt["fence"], "permit_valid_s": 30}
        bed = (await world.printer_now(printer))["bed"]
        assert (bed["state"], bed["attempt_id"]) == ("occupied", attempt["id"])

    async def test_fifty_at_once_give_one_transition(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        answers = await asyncio.gather(*(world.permit(attempt) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        events = (await world.send("GET", "/events", params={"type": "attempt.starting"})).json()["items"]
        assert len(events) == 1

    async def test_a_cancelled_job_is_refused(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        assert code(await world.permit(attempt)) == "attempt_ended"
        assert (await world.job_now(job))["state"] == "cancelled"

    async def test_a_cancel_between_permit_and_start_stops_a_repeated_permit(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        assert (await world.permit(attempt)).status_code == 200
        await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        assert code(await world.permit(attempt)) == "job_cancelled"
        assert (await world.report(attempt, "cancelled", reason="cancelled_before_start")).status_code == 200
        assert (await world.job_now(job))["state"] == "cancelled"

    async def test_cancel_and_permit_at_once_never_both_win(self, world: QueueWorld) -> None:
        """Either the cancel came first and nothing starts, or the permit did and the bridge is told to stop."""
        for number in range(12):
            printer, job = await world.printer(f"P{number}"), await world.job()
            attempt = await world.claimed(printer)
            permit, _cancel = await asyncio.gather(
                world.permit(attempt), world.send("POST", f"/jobs/{job}/cancel", expect=200)
            )
            state = (await world.job_now(job))["state"]
            if permit.status_code == 200:
                assert state == "cancelling"
                commands = (await world.call("GET", f"/printers/{printer}/commands")).json()["items"]
                assert [command["kind"] for command in commands] == ["cancel"]
            else:
                assert code(permit) == "attempt_ended"
                assert state == "cancelled"

    async def test_an_uncleared_bed_is_refused(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        await world.call("POST", f"/printers/{printer}/foreign-print", json={"file_name": "x.gcode"}, expect=204)
        assert code(await world.permit(attempt)) == "bed_occupied"

    async def test_it_is_not_given_again_once_something_else_was_printed(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        assert (await world.permit(attempt)).status_code == 200
        await world.call("POST", f"/printers/{printer}/foreign-print", json={"file_name": "x.gcode"}, expect=204)
        assert code(await world.permit(attempt)) == "bed_occupied"
        await world.report(attempt, "released", reason="bed_occupied")
        assert code(await world.bed_cleared(printer, attempt)) == "bed_changed"
        assert (await world.job_now(job))["state"] == "queued"

    async def test_a_disabled_printer_is_refused(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        etag = (await world.send("GET", f"/printers/{printer}")).headers["etag"]
        await world.send(
            "PATCH", f"/printers/{printer}", json={"enabled": False}, headers={"If-Match": etag}, expect=200
        )
        assert code(await world.permit(attempt)) == "printer_disabled"


class TestLease:
    async def test_a_lost_lease_frees_the_job_and_refuses_the_permit(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        async with (
            start_queue(database, issuer, auth_url, tmp_path, lease_s=5) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            world = QueueWorld(http, issuer, tmp_path)
            left, right = await world.printer("left"), await world.printer("right")
            job = await world.job()
            lost = await world.claimed(left)
            await database_execute(database, "UPDATE queue.attempt SET lease_expires_at = now() - interval '1 second'")

            async def queued_again() -> bool:
                return bool((await world.job_now(job))["state"] == "queued")

            await eventually(queued_again)
            assert (await world.claimed(right))["job_id"] == job
            assert code(await world.permit(lost)) == "attempt_ended"

    async def test_renewing_keeps_it(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        answer = await world.call(
            "POST", f"/attempts/{attempt['id']}/lease", json={"fence": attempt["fence"]}, expect=200
        )
        assert answer.json()["lease_expires_in_s"] == 60

    async def test_a_permitted_attempt_is_ended_by_no_time_out(self, own_world: QueueWorld, database: Database) -> None:
        """A claimed and a permitted attempt, both far beyond their lease: the sweep takes back only the first."""
        world = own_world
        left, right = await world.printer("left"), await world.printer("right")
        printing, waiting = await world.job(), await world.job()
        assert (await world.printing(left))["job_id"] == printing
        assert (await world.claimed(right))["job_id"] == waiting
        await database_execute(database, "UPDATE queue.attempt SET lease_expires_at = now() - interval '1 day'")

        async def swept() -> bool:
            return bool((await world.job_now(waiting))["state"] == "queued")

        await eventually(swept)
        assert (await world.job_now(printing))["state"] == "active"


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


class TestCommands:
    async def test_pause_and_resume_travel_to_the_bridge_and_back(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        [command] = (await world.send("POST", f"/jobs/{job}/pause", expect=202)).json()["items"]
        [again] = (await world.send("POST", f"/jobs/{job}/pause", expect=202)).json()["items"]
        assert again["id"] == command["id"]
        [waiting] = (await world.call("GET", f"/printers/{printer}/commands", expect=200)).json()["items"]
        assert (waiting["id"], waiting["kind"], waiting["attempt_id"]) == (command["id"], "pause", attempt["id"])
        for _ in range(2):
            await world.call("POST", f"/commands/{command['id']}/result", json={"state": "succeeded"}, expect=204)
        await world.report(attempt, "paused")
        assert (await world.send("GET", f"/commands/{command['id']}")).json()["state"] == "succeeded"
        assert code(await world.send("POST", f"/jobs/{job}/pause")) == "not_printing"
        await world.send("POST", f"/jobs/{job}/resume", expect=202)

    async def test_a_cancel_is_done_when_the_print_was_cancelled(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        answer = await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        assert answer.json()["state"] == "cancelling"
        [waiting] = (await world.call("GET", f"/printers/{printer}/commands")).json()["items"]
        await world.report(attempt, "cancelled", reason="cancelled")
        assert (await world.send("GET", f"/commands/{waiting['id']}")).json()["state"] == "succeeded"
        assert (await world.job_now(job))["state"] == "cancelled"
        assert (await world.call("GET", f"/printers/{printer}/commands")).json()["items"] == []

    async def test_a_cancel_that_failed_is_ordered_again(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        await world.printing(printer)
        for _ in range(2):
            assert (await world.send("POST", f"/jobs/{job}/cancel", expect=200)).json()["state"] == "cancelling"
            [waiting] = (await world.call("GET", f"/printers/{printer}/commands")).json()["items"]
            await world.call("POST", f"/commands/{waiting['id']}/result", json={"state": "failed"}, expect=204)
        assert (await world.call("GET", f"/printers/{printer}/commands")).json()["items"] == []

    async def test_the_end_of_a_print_ends_its_commands_with_an_event(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.send("POST", f"/jobs/{job}/pause", expect=202)
        await world.report(attempt, "completed")
        [event] = (await world.send("GET", "/events", params={"type": "command.failed"})).json()["items"]
        assert event["data"]["detail"] == "The print ended first."

    async def test_a_print_that_ended_first_stays_completed(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        await world.report(attempt, "completed")
        assert (await world.job_now(job))["state"] == "completed"

    async def test_another_bridge_sees_and_answers_none(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        await world.printing(printer)
        [command] = (await world.send("POST", f"/jobs/{job}/pause", expect=202)).json()["items"]
        for other in (world.another_bridge(), world.neighbour()):
            assert code(await other.call("GET", f"/printers/{printer}/commands")) == "printer_not_found"
            answer = await other.call("POST", f"/commands/{command['id']}/result", json={"state": "failed"})
            assert code(answer) == "command_not_found"


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


class TestHostileBridge:
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


class TestForeignAttempt:
    async def test_it_does_not_exist_for_another_bridge(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        for other in (world.another_bridge(), world.neighbour()):
            other.journal = world.journal
            lease = await other.call("POST", f"/attempts/{attempt['id']}/lease", json={"fence": attempt["fence"]})
            answers = [
                lease,
                await other.permit(attempt),
                await other.report(attempt, "released", reason="x"),
                await other.call("GET", f"/attempts/{attempt['id']}/file"),
            ]
            assert [code(answer) for answer in answers] == ["attempt_not_found"] * 4
        assert code(await world.neighbour().send("GET", f"/attempts/{attempt['id']}")) == "attempt_not_found"

    async def test_a_printer_of_an_unknown_bridge_is_refused(self, world: QueueWorld) -> None:
        body = {"name": "x", "bridge_id": "bridge_" + "0" * 32}
        assert code(await world.send("POST", "/printers", json=body)) == "bridge_unknown"
        assert show("bridge", world.bridge) != body["bridge_id"]


async def database_execute(database: Database, statement: str) -> object:
    """Run a statement as the owner; its first value."""
    import asyncpg  # noqa: PLC0415

    connection = await asyncpg.connect(database.url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()
