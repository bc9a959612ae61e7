"""A print whose outcome nobody can tell: the printer is held, everybody sees why, and one call of a person ends it."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fluxprint_common.ids import show
from fluxprint_common.permissions import Role
from support.queue import QueueWorld, code
from support.servers import Database, execute

Json = dict[str, Any]

DETAIL = "It can't be told whether this was printed. It was last seen at 2026-11-21T03:12:07Z: Printing, 41 %."
EVIDENCE = {"last_seen": {"at": "2026-11-21T03:12:07Z", "text": "Printing", "completion": 41.2}}
OUTCOMES = ["printed", "failed_requeue", "failed_drop"]


async def unknown(world: QueueWorld, printer: str) -> Json:
    """An attempt on this printer whose outcome is unknown."""
    attempt = await world.printing(printer)
    answer = await world.report(attempt, "unknown", reason="not_decidable", detail=DETAIL, evidence=EVIDENCE)
    assert answer.status_code == 200
    return attempt


async def resolve(
    world: QueueWorld, attempt: Json, outcome: str, *, role: Role = Role.EDITOR, **more: object
) -> httpx.Response:
    return await world.send("POST", f"/attempts/{attempt['id']}/resolve", role=role, json={"outcome": outcome, **more})


async def attempt_now(world: QueueWorld, attempt: Json) -> Json:
    answer: Json = (await world.send("GET", f"/attempts/{attempt['id']}", expect=200)).json()
    return answer


class TestHold:
    async def test_the_printer_takes_nothing(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        await world.job()
        held = await world.claimed(printer)
        assert (held["id"], held["state"]) == (attempt["id"], "unknown")
        assert code(await world.permit(held)) == "transition_refused"
        assert code(await world.bed_cleared(printer, attempt)) == "printer_busy"

    async def test_reason_and_evidence_are_shown_wherever_one_looks(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        shown = await attempt_now(world, attempt)
        assert (shown["state"], shown["reason"], shown["detail"]) == ("unknown", "not_decidable", DETAIL)
        assert (shown["evidence"], shown["resolved_by"]) == (EVIDENCE, None)
        now = await world.job_now(job)
        assert (now["state"], now["reason"], now["detail"]) == ("unknown", "not_decidable", DETAIL)
        for kind, also in (("attempt.unknown", {"evidence": EVIDENCE}), ("job.unknown", {})):
            [event] = (await world.send("GET", "/events", params={"type": kind})).json()["items"]
            expected = {"reason": "not_decidable", "detail": DETAIL, **also}
            assert {name: event["data"][name] for name in expected} == expected

    async def test_the_printer_says_by_what_it_is_held_and_which_call_ends_it(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        idle = await world.printer("idle")
        attempt = await unknown(world, printer)
        listed = {item["id"]: item["held"] for item in (await world.send("GET", "/printers")).json()["items"]}
        held = listed[printer]
        assert held == (await world.printer_now(printer))["held"]
        assert (held["attempt_id"], held["job_id"]) == (attempt["id"], job)
        assert (held["reason"], held["detail"]) == ("not_decidable", DETAIL)
        assert held["since"] == (await attempt_now(world, attempt))["unknown_at"]
        assert listed[idle] is None
        answer = await world.http.post(held["resolve_path"], json={"outcome": "printed"}, headers=world.headers())
        assert answer.status_code == 200
        assert (await world.printer_now(printer))["held"] is None

    async def test_a_print_that_runs_holds_nothing(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        await world.printing(printer)
        assert (await world.printer_now(printer))["held"] is None

    async def test_later_proof_ends_it_without_a_person(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        await world.report(attempt, "completed", evidence={"file": {"prints": {"success": 1}}})
        now = await world.job_now(job)
        assert (now["state"], now["reason"], now["detail"]) == ("completed", None, None)
        assert code(await resolve(world, attempt, "failed_requeue")) == "attempt_ended"


class TestResolve:
    @pytest.mark.parametrize(
        ("outcome", "attempt_state", "job_state"),
        [
            ("printed", "completed", "completed"),
            ("failed_requeue", "failed", "queued"),
            ("failed_drop", "failed", "failed"),
        ],
    )
    async def test_one_call_ends_it_and_clears_the_bed(
        self, world: QueueWorld, outcome: str, attempt_state: str, job_state: str
    ) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        answer = await resolve(world, attempt, outcome, bed_is_clear=True)
        assert (answer.status_code, answer.json()["state"]) == (200, attempt_state)
        assert answer.json()["resolved_by"] == show("user", world.user)
        assert answer.json()["evidence"] == EVIDENCE
        assert answer.json()["detail"].endswith(f"Before: {DETAIL}")
        assert (await world.job_now(job))["state"] == job_state
        assert (await world.printer_now(printer))["bed"]["state"] == "clear"
        assert (await world.claim(printer) is not None) == (job_state == "queued")

    async def test_the_bed_stays_occupied_unless_that_is_said(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        await resolve(world, attempt, "failed_requeue")
        assert (await world.printer_now(printer))["bed"]["attempt_id"] == attempt["id"]
        assert await world.claim(printer) is None
        assert (await world.bed_cleared(printer, attempt)).status_code == 200
        assert await world.claim(printer) is not None

    async def test_a_print_that_runs_is_not_resolved(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        assert code(await resolve(world, attempt, "printed", bed_is_clear=True)) == "transition_refused"
        assert (await world.printer_now(printer))["bed"]["state"] == "occupied"

    @pytest.mark.parametrize("role", [Role.VIEWER, Role.CLIENT])
    async def test_who_only_looks_may_not(self, world: QueueWorld, role: Role) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        assert (await resolve(world, attempt, "printed", role=role)).status_code == 403
        assert (await attempt_now(world, attempt))["state"] == "unknown"

    async def test_another_organisation_does_not_see_it(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        assert code(await resolve(world.neighbour(), attempt, "printed")) == "attempt_not_found"

    async def test_a_bridge_hears_that_its_attempt_has_ended(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        await resolve(world, attempt, "failed_requeue")
        assert code(await world.report(attempt, "completed")) == "attempt_ended"
        assert await world.claim(printer) is None


class TestRepeated:
    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_the_same_decision_again_changes_nothing(self, world: QueueWorld, outcome: str) -> None:
        printer, job = await world.printer(), await world.job(copies=3)
        attempt = await unknown(world, printer)
        first = (await resolve(world, attempt, outcome)).json()
        before = await world.job_now(job)
        again = await resolve(world, attempt, outcome)
        assert (again.status_code, again.json()) == (200, first)
        assert await world.job_now(job) == before

    @pytest.mark.parametrize("outcome", OUTCOMES)
    async def test_another_decision_is_refused_and_says_whose_came_first(self, world: QueueWorld, outcome: str) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        await resolve(world, attempt, outcome)
        for other in set(OUTCOMES) - {outcome}:
            answer = await resolve(world, attempt, other, bed_is_clear=True)
            assert code(answer) == "attempt_resolved"
            assert show("user", world.user) in answer.json()["detail"]
        assert (await world.printer_now(printer))["bed"]["state"] == "occupied"

    async def test_two_operators_at_once(self, world: QueueWorld) -> None:
        for number in range(6):
            printer, job = await world.printer(f"P{number}"), await world.job()
            attempt = await unknown(world, printer)
            answers = await asyncio.gather(*(resolve(world, attempt, outcome) for outcome in 4 * OUTCOMES))
            won = [answer.json()["reason"] for answer in answers if answer.status_code == 200]
            assert (len(won), len(set(won))) == (4, 1)
            assert {code(answer) for answer in answers if answer.status_code != 200} == {"attempt_resolved"}
            await world.send("POST", f"/jobs/{job}/cancel")

    async def test_a_late_repetition_clears_no_later_bed(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job(copies=2)
        attempt = await unknown(world, printer)
        await resolve(world, attempt, "failed_requeue", bed_is_clear=True)
        following = await world.printing(printer)
        assert (await resolve(world, attempt, "failed_requeue", bed_is_clear=True)).status_code == 200
        bed = (await world.printer_now(printer))["bed"]
        assert (bed["state"], bed["attempt_id"]) == ("occupied", following["id"])


class TestBed:
    async def test_what_was_printed_by_hand_since_is_not_cleared_with_it(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        await world.call("POST", f"/printers/{printer}/foreign-print", json={"file_name": "x.gcode"}, expect=204)
        assert code(await resolve(world, attempt, "failed_requeue", bed_is_clear=True)) == "bed_changed"
        assert (await attempt_now(world, attempt))["state"] == "unknown"
        assert (await resolve(world, attempt, "failed_requeue")).status_code == 200
        assert code(await world.bed_cleared(printer, attempt)) == "bed_changed"
        assert await world.claim(printer) is None
        assert (await world.bed_cleared(printer, None)).status_code == 200


class TestCopies:
    async def test_the_copy_is_printed_again_before_what_came_later(self, world: QueueWorld) -> None:
        printer = await world.printer()
        job = await world.job(copies=2, priority=60)
        await world.job(priority=60)
        attempt = await unknown(world, printer)
        await resolve(world, attempt, "failed_requeue", bed_is_clear=True)
        now = await world.job_now(job)
        assert (now["state"], now["priority"], now["reason"], now["copies_completed"]) == ("queued", 60, None, 0)
        again = await world.claimed(printer)
        assert (again["job_id"], again["copy_number"]) == (job, attempt["copy_number"])

    async def test_a_dropped_copy_leaves_the_others_and_the_job_ends_as_failed(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job(copies=3)
        await resolve(world, await unknown(world, printer), "failed_drop", bed_is_clear=True)
        now = await world.job_now(job)
        assert (now["state"], now["copies_dropped"], now["reason"]) == ("queued", 1, None)
        for copy_number in (2, 3):
            attempt = await world.printing(printer)
            assert attempt["copy_number"] == copy_number
            await world.report(attempt, "completed")
            await world.bed_cleared(printer, attempt)
        now = await world.job_now(job)
        assert (now["state"], now["copies_completed"], now["reason"]) == ("failed", 2, "copies_dropped")
        assert now["detail"] == "1 of 3 copies were given up by a person."
        assert await world.claim(printer) is None

    async def test_the_last_copy_that_is_dropped_ends_the_job(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job(copies=2)
        attempt = await world.printing(printer)
        await world.report(attempt, "completed")
        await world.bed_cleared(printer, attempt)
        await resolve(world, await unknown(world, printer), "failed_drop")
        assert (await world.job_now(job))["state"] == "failed"

    async def test_a_copy_elsewhere_goes_on_and_the_job_shows_what_is_unknown(self, world: QueueWorld) -> None:
        left, right = await world.printer("left"), await world.printer("right")
        job = await world.job(copies=2)
        first, second = await world.printing(left), await world.printing(right)
        await world.report(first, "unknown", reason="not_decidable", detail=DETAIL)
        await world.report(second, "unknown", reason="lost_while_finishing", detail="The other one.")
        assert (await world.job_now(job))["reason"] == "not_decidable"
        await resolve(world, first, "printed")
        now = await world.job_now(job)
        assert (now["state"], now["reason"], now["detail"]) == ("unknown", "lost_while_finishing", "The other one.")
        await resolve(world, second, "printed")
        now = await world.job_now(job)
        assert (now["state"], now["reason"], now["copies_completed"]) == ("completed", None, 2)


class TestCancelledJob:
    @pytest.mark.parametrize(
        ("outcome", "state"), [("printed", "completed"), ("failed_requeue", "cancelled"), ("failed_drop", "cancelled")]
    )
    async def test_it_stays_unknown_until_a_person_decides_and_prints_nothing_again(
        self, world: QueueWorld, outcome: str, state: str
    ) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await unknown(world, printer)
        assert (await world.send("POST", f"/jobs/{job}/cancel", expect=200)).json()["state"] == "unknown"
        answer = await resolve(world, attempt, outcome, bed_is_clear=True)
        assert ("not printed again" in answer.json()["detail"]) == (outcome == "failed_requeue")
        assert (await world.job_now(job))["state"] == state
        assert await world.claim(printer) is None

    async def test_a_cancel_that_waits_ends_with_the_decision(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        [command] = (await world.call("GET", f"/printers/{printer}/commands")).json()["items"]
        await world.report(attempt, "unknown", reason="not_decidable")
        await resolve(world, attempt, "failed_drop")
        assert (await world.send("GET", f"/commands/{command['id']}")).json()["state"] == "failed"
        assert (await world.job_now(job))["state"] == "cancelled"


class TestAdoptOnly:
    """A bridge that lost its memory asks what lives, without taking on anything."""

    async def test_it_opens_nothing(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        body = {"journal_id": str(uuid4()), "adopt_only": True}
        assert (await world.call("POST", f"/printers/{printer}/claim", json=body)).status_code == 204
        assert (await world.job_now(job))["state"] == "queued"

    async def test_it_gives_what_lives_with_a_new_fence(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        body = {"journal_id": str(uuid4()), "adopt_only": True}
        taken = (await world.call("POST", f"/printers/{printer}/claim", json=body, expect=200)).json()["attempt"]
        assert (taken["id"], taken["state"], taken["same_journal"]) == (attempt["id"], "printing", False)
        assert taken["fence"] > attempt["fence"]


class TestAbandoned:
    async def test_a_print_whose_bridge_is_gone_is_resolved_by_a_person(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        world = own_world
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        path, body = f"/attempts/{attempt['id']}/resolve", {"outcome": "failed_drop"}
        seen = "UPDATE queue.printer SET connection = '{}', last_seen_at = now() - interval '{} seconds'"
        for connection, silent_s in (("online", 0), ("offline", 20)):
            await execute(database.url, seen.format(connection, silent_s))
            assert code(await world.send("POST", path, json=body)) == "transition_refused"
        await execute(database.url, seen.format("offline", 100))
        assert code(await world.send("POST", path, json=body)) == "transition_refused"
        await execute(database.url, "UPDATE queue.attempt SET permitted_at = now() - interval '100 seconds'")
        held = (await world.printer_now(printer))["held"]
        assert (held["attempt_id"], held["reason"]) == (attempt["id"], "bridge_silent")
        await world.send("POST", path, json=body, expect=200)
        assert (await world.job_now(job))["state"] == "failed"
        assert code(await world.report(attempt, "completed")) == "attempt_ended"
        assert (await world.bed_cleared(printer, attempt)).status_code == 200

    async def test_a_print_whose_octoprint_never_answers_again_is_resolved_by_a_person(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        world = own_world
        printer, job = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        path, body = f"/attempts/{attempt['id']}/resolve", {"outcome": "failed_requeue", "bed_is_clear": True}
        silent = "UPDATE queue.printer SET connection = '{}', connection_since = now() - interval '{} minutes'"
        for connection, silent_min in (("octoprint_offline", 9), ("printer_offline", 11), ("online", 11)):
            await execute(database.url, silent.format(connection, silent_min))
            assert code(await world.send("POST", path, json=body)) == "transition_refused"
            assert (await world.printer_now(printer))["held"] is None
        await execute(database.url, silent.format("octoprint_offline", 11))
        held = (await world.printer_now(printer))["held"]
        assert (held["attempt_id"], held["reason"]) == (attempt["id"], "octoprint_silent")
        await world.send("POST", path, json=body, expect=200)
        assert (await world.job_now(job))["state"] == "queued"
        assert code(await world.report(attempt, "completed")) == "attempt_ended"

    async def test_a_start_that_a_silent_octoprint_may_still_hold_is_nobodys_to_decide(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        world = own_world
        printer, _ = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        await world.permit(attempt)
        await execute(
            database.url,
            "UPDATE queue.printer SET connection = 'octoprint_offline', connection_since = now() - interval '1 day'",
        )
        await execute(database.url, "UPDATE queue.attempt SET permitted_at = now() - interval '1 day'")
        answer = await world.send("POST", f"/attempts/{attempt['id']}/resolve", json={"outcome": "failed_drop"})
        assert code(answer) == "transition_refused"
