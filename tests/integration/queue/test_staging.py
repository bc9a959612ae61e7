"""The next file, its bytes ahead of time, and the claim that finds it staged."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from fluxprint_common.ids import new_id, show
from support.queue import GCODE, QueueWorld, code, start_queue
from support.servers import Database
from support.tokens import Issuer

Json = dict[str, Any]


async def next_file(world: QueueWorld, printer: str) -> Json | None:
    answer = await world.call("GET", f"/printers/{printer}/next")
    assert answer.status_code in (200, 204), answer.text
    found: Json | None = answer.json() if answer.status_code == 200 else None
    return found


async def staged(world: QueueWorld, printer: str) -> Json:
    """What a bridge says that it has staged, once it has."""
    found = await next_file(world, printer)
    assert found is not None
    return {"attempt_id": found["attempt_id"], "sha256": found["file"]["sha256"]}


async def claim(world: QueueWorld, printer: str, staged: Json) -> Json:
    body = {"journal_id": str(world.journal), "staged": staged}
    answer: Json = (await world.call("POST", f"/printers/{printer}/claim", json=body, expect=200)).json()
    return answer


async def job_of(world: QueueWorld, content: bytes, **more: object) -> str:
    file = (await world.upload(content)).json()["id"]
    return str((await world.send("POST", "/jobs", json={"file_id": file, **more}, expect=201)).json()["id"])


class TestNext:
    async def test_it_is_what_the_claim_takes_while_the_printer_prints(self, world: QueueWorld) -> None:
        printer, other = await world.printer(), await world.printer("other")
        await world.job()
        attempt = await world.printing(printer)
        assert await next_file(world, printer) is None
        await job_of(world, GCODE + b"; later\n")
        await job_of(world, GCODE + b"; urgent\n", priority=90)
        await job_of(world, GCODE + b"; of another printer\n", priority=99, printer_id=other)
        found = await next_file(world, printer)
        assert found is not None
        await world.report(attempt, "completed")
        assert ((await next_file(world, printer)) or {}).get("file") == found["file"]  # and while its bed is occupied
        await world.bed_cleared(printer, attempt)
        assignment = await world.claim(printer)
        assert assignment is not None
        assert assignment["file"] == found["file"]

    async def test_every_answer_brings_a_new_id_and_nothing_is_stored(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        ids = {(await staged(world, printer))["attempt_id"] for _ in range(3)}
        assert len(ids) == 3
        assert (await world.send("GET", f"/jobs/{job}/attempts")).json()["items"] == []
        assert (await world.job_now(job))["state"] == "queued"

    async def test_it_is_the_next_copy_of_the_job_that_prints(self, world: QueueWorld) -> None:
        printer = await world.printer()
        await world.job(copies=2)
        await world.printing(printer)
        assert await next_file(world, printer) is not None

    async def test_there_is_none_for_a_disabled_printer_or_a_cancelled_job(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        etag = (await world.send("GET", f"/printers/{printer}")).headers["etag"]
        answer = await world.send(
            "PATCH", f"/printers/{printer}", json={"enabled": False}, headers={"If-Match": etag}, expect=200
        )
        assert await next_file(world, printer) is None
        headers = {"If-Match": answer.headers["etag"]}
        await world.send("PATCH", f"/printers/{printer}", json={"enabled": True}, headers=headers, expect=200)
        assert await next_file(world, printer) is not None
        await world.send("POST", f"/jobs/{job}/cancel")
        assert await next_file(world, printer) is None

    async def test_there_is_none_while_printing_is_switched_off(
        self, own_world: QueueWorld, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        printer, _ = await own_world.printer(), await own_world.job()
        assert await next_file(own_world, printer) is not None
        async with (
            start_queue(database, issuer, auth_url, tmp_path, enabled=False) as url,
            httpx.AsyncClient(base_url=url, timeout=20) as own_world.http,
        ):
            assert await next_file(own_world, printer) is None

    async def test_a_job_that_this_printer_just_gave_back_is_not_next(self, world: QueueWorld) -> None:
        printer, other = await world.printer(), await world.printer("other")
        await world.job()
        await world.report(await world.claimed(printer), "released", reason="transfer_failed")
        assert await next_file(world, printer) is None
        assert await next_file(world, other) is not None

    async def test_a_printer_of_another_bridge_or_organisation_does_not_exist(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        for stranger in (world.another_bridge(), world.neighbour()):
            await stranger.job()
            answer = await stranger.call("GET", f"/printers/{printer}/next", expect=404)
            assert code(answer) == "printer_not_found"

    async def test_another_organisations_job_is_never_next(self, world: QueueWorld) -> None:
        await world.job()
        other = world.neighbour()
        assert await next_file(other, await other.printer()) is None


class TestDownload:
    async def test_it_gives_the_bytes_with_ranges(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        sha256 = (await staged(world, printer))["sha256"]
        whole = await world.call("GET", f"/printers/{printer}/files/{sha256}", expect=200)
        assert whole.content == GCODE
        assert whole.headers["etag"] == f'"{sha256}"'
        headers = {**world.bridge_headers(), "Range": "bytes=10-"}
        part = await world.http.get(f"/api/v1/bridge/printers/{printer}/files/{sha256}", headers=headers)
        assert (part.status_code, part.content) == (206, GCODE[10:])

    async def test_only_a_file_of_a_waiting_job_that_the_printer_may_take(self, world: QueueWorld) -> None:
        printer, other = await world.printer(), await world.printer("other")
        job = await job_of(world, GCODE, printer_id=printer)
        sha256 = (await staged(world, printer))["sha256"]
        await job_of(world, GCODE + b"; before it\n", priority=90)
        path = f"/files/{sha256}"
        await world.call("GET", f"/printers/{printer}{path}", expect=200)  # not the first one either
        assert code(await world.call("GET", f"/printers/{other}{path}", expect=404)) == "file_not_found"
        await world.send("POST", f"/jobs/{job}/cancel")
        assert code(await world.call("GET", f"/printers/{printer}{path}", expect=404)) == "file_not_found"
        await world.call("GET", f"/printers/{printer}/files/{'0' * 64}", expect=404)
        await world.call("GET", f"/printers/{printer}/files/..%2F..%2Fsecret", expect=404)
        await world.call("GET", f"/printers/{printer}/files/{'g' * 64}", expect=404)

    async def test_another_organisation_with_the_same_content_is_no_way_to_it(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        sha256 = (await staged(world, printer))["sha256"]
        other = world.neighbour()
        theirs = await other.printer()
        await other.send("POST", f"/jobs/{await other.job()}/cancel")
        await other.call("GET", f"/printers/{printer}/files/{sha256}", expect=404)
        await other.call("GET", f"/printers/{theirs}/files/{sha256}", expect=404)


class TestClaimOfStaged:
    async def test_the_attempt_gets_the_staged_id(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        brought = await staged(world, printer)
        attempt = (await claim(world, printer, brought))["attempt"]
        assert (attempt["id"], attempt["job_id"], attempt["state"]) == (brought["attempt_id"], job, "claimed")
        assert (await world.permit(attempt)).status_code == 200
        # Claimed again, it is the same attempt.
        assert (await claim(world, printer, brought))["attempt"]["id"] == brought["attempt_id"]

    async def test_what_is_staged_chooses_no_job(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        brought = await staged(world, printer)
        urgent = await job_of(world, GCODE + b"; urgent\n", priority=90)
        attempt = (await claim(world, printer, brought))["attempt"]
        assert attempt["job_id"] == urgent
        assert attempt["id"] != brought["attempt_id"]

    async def test_another_job_with_the_same_bytes_profits(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        brought = await staged(world, printer)
        await world.send("POST", f"/jobs/{job}/cancel")
        other = await world.job()
        attempt = (await claim(world, printer, brought))["attempt"]
        assert (attempt["id"], attempt["job_id"]) == (brought["attempt_id"], other)

    async def test_an_id_is_given_once(self, world: QueueWorld) -> None:
        printer, other = await world.printer(), await world.printer("other")
        await world.job(copies=2)
        brought = await staged(world, printer)
        first = (await claim(world, printer, brought))["attempt"]
        second = (await claim(world, other, brought))["attempt"]
        assert first["id"] == brought["attempt_id"] != second["id"]

    async def test_two_claims_at_once_with_one_id_get_two_attempts(self, world: QueueWorld) -> None:
        printers = [await world.printer(f"P{number}") for number in range(6)]
        for _ in range(6):
            await world.job()  # of the same content
        brought = await staged(world, printers[0])
        found = await asyncio.gather(*(claim(world, printer, brought) for printer in printers))
        ids = [item["attempt"]["id"] for item in found]
        assert len(set(ids)) == 6
        assert brought["attempt_id"] in ids

    async def test_an_id_of_another_organisations_attempt_is_not_reused(self, world: QueueWorld) -> None:
        other = world.neighbour()
        theirs, _ = await other.printer(), await other.job()
        taken = (await other.claimed(theirs))["id"]
        printer, _ = await world.printer(), await world.job()
        sha256 = (await staged(world, printer))["sha256"]
        attempt = (await claim(world, printer, {"attempt_id": taken, "sha256": sha256}))["attempt"]
        assert attempt["id"] != taken

    async def test_an_id_that_the_queue_can_not_have_made_is_not_used(self, world: QueueWorld) -> None:
        later = UUID(int=new_id().int | (1 << 127))
        for invented in (uuid4(), later):
            printer, _ = await world.printer(str(invented)), await world.job()
            sha256 = (await staged(world, printer))["sha256"]
            wrong = {"attempt_id": show("attempt", invented), "sha256": sha256}
            assert (await claim(world, printer, wrong))["attempt"]["id"] != wrong["attempt_id"]
