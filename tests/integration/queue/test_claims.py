"""A claim takes what is next for a printer, and adopts what is already on it."""

import asyncio
from collections import Counter
from uuid import uuid4

from support.queue import QueueWorld, code


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
