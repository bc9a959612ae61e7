"""A permit is given once, to who holds the attempt; a lease is lost only before it."""

import asyncio

from support.queue import QueueWorld, code, eventually
from support.servers import Database, execute


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
        self, own_world: QueueWorld, database: Database
    ) -> None:
        world = own_world
        left, right = await world.printer("left"), await world.printer("right")
        job = await world.job()
        lost = await world.claimed(left)
        await execute(database.url, "UPDATE queue.attempt SET lease_expires_at = now() - interval '1 second'")
        await queued_again(world, job)
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
        await execute(database.url, "UPDATE queue.attempt SET lease_expires_at = now() - interval '1 day'")
        await queued_again(world, waiting)
        assert (await world.job_now(printing))["state"] == "active"


async def queued_again(world: QueueWorld, job: str) -> None:
    """Wait until the sweep has taken back what the job's lease held."""

    async def queued() -> bool:
        return bool((await world.job_now(job))["state"] == "queued")

    await eventually(queued)
