"""The API of jobs and printers: bad input, repetition, conflicts, visibility, and who may do what."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.queue import QueueWorld, code, start_queue
from support.servers import Database
from support.tokens import Issuer


class TestBadInput:
    @pytest.mark.parametrize(
        "change",
        [
            {"file_id": "nonsense"},
            {"file_id": "job_" + "0" * 32},
            {"file_id": "file_" + "0" * 32},
            {"file_id": None},
            {"copies": 0},
            {"copies": 1001},
            {"copies": "2"},
            {"copies": True},
            {"copies": 1.5},
            {"priority": 101},
            {"name": ""},
            {"name": "two\nlines"},
            {"name": "x" * 101},
            {"printer_id": "printer_" + "0" * 32},
            {"colour": "red"},
        ],
        ids=str,
    )
    async def test_a_job_that_makes_no_sense_is_a_422_that_says_where(
        self, world: QueueWorld, change: dict[str, object]
    ) -> None:
        body = {"file_id": await world.file(), **change}
        answer = await world.send("POST", "/jobs", json=body)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == [f"/{next(iter(change))}"]
        assert (await world.send("GET", "/jobs")).json()["items"] == []

    @pytest.mark.parametrize("job", ["nonsense", "job_1", "file_" + "0" * 32, "job_" + "0" * 32, "job_" + "G" * 32])
    async def test_an_id_that_names_nothing_is_a_404(self, world: QueueWorld, job: str) -> None:
        for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/pause"), ("GET", "/attempts")):
            assert (await world.send(method, f"/jobs/{job}{path}")).status_code == 404

    async def test_broken_json_and_other_media_types(self, world: QueueWorld) -> None:
        headers = {"Content-Type": "application/json"}
        assert (await world.send("POST", "/jobs", content=b"{", headers=headers)).status_code == 422
        assert (await world.send("POST", "/jobs", content=b"a=b")).status_code == 422
        assert (await world.send("POST", "/jobs", json={"x": "y" * 300_000})).status_code == 413

    async def test_a_cursor_that_is_none(self, world: QueueWorld) -> None:
        assert code(await world.send("GET", "/jobs", params={"cursor": "!!"})) == "cursor_invalid"
        for params in ({"limit": 0}, {"limit": 201}, {"state": "sleeping"}):
            assert (await world.send("GET", "/jobs", params=params)).status_code == 422


class TestIdempotency:
    async def test_fifty_times_the_same_request_makes_one_job(self, world: QueueWorld) -> None:
        body = {"file_id": await world.file()}
        headers = {"Idempotency-Key": "once"}
        answers = await asyncio.gather(*(world.send("POST", "/jobs", json=body, headers=headers) for _ in range(50)))
        assert {answer.status_code for answer in answers} <= {201, 409}
        made = {answer.json()["id"] for answer in answers if answer.status_code == 201}
        assert len(made) == 1
        assert {code(answer) for answer in answers if answer.status_code == 409} <= {"idempotency_key_in_use"}
        assert (await world.send("POST", "/jobs", json=body, headers=headers)).json()["id"] in made
        assert len((await world.send("GET", "/jobs")).json()["items"]) == 1

    async def test_a_key_belongs_to_its_body_and_its_person(self, world: QueueWorld) -> None:
        file = await world.file()
        headers = {"Idempotency-Key": "mine"}
        first = await world.send("POST", "/jobs", json={"file_id": file}, headers=headers, expect=201)
        other = await world.send("POST", "/jobs", json={"file_id": file, "copies": 2}, headers=headers)
        assert (other.status_code, code(other)) == (422, "idempotency_key_reused")
        world.user = new_id()
        again = await world.send("POST", "/jobs", json={"file_id": file}, headers=headers, expect=201)
        assert again.json()["id"] != first.json()["id"]

    async def test_a_refused_request_leaves_the_key_free(self, world: QueueWorld) -> None:
        headers = {"Idempotency-Key": "k"}
        missing = {"file_id": "file_" + "0" * 32}
        assert (await world.send("POST", "/jobs", json=missing, headers=headers)).status_code == 422
        await world.send("POST", "/jobs", json={"file_id": await world.file()}, headers=headers, expect=201)


class TestJobs:
    async def test_pages_hold_every_job_once(self, world: QueueWorld) -> None:
        jobs = [await world.job() for _ in range(5)]
        found: list[str] = []
        cursor: str | None = None
        while True:
            params = {"limit": 2, **({"cursor": cursor} if cursor else {})}
            page = (await world.send("GET", "/jobs", params=params)).json()
            found += [job["id"] for job in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert found == jobs[::-1]

    async def test_states_filter_the_list(self, world: QueueWorld) -> None:
        waiting, gone = await world.job(), await world.job()
        await world.send("POST", f"/jobs/{gone}/cancel", expect=200)
        found = (await world.send("GET", "/jobs", params={"state": ["queued", "active"]})).json()["items"]
        assert [job["id"] for job in found] == [waiting]

    async def test_a_cancelled_one_stays_cancelled_however_often(self, world: QueueWorld) -> None:
        job = await world.job()
        answers = await asyncio.gather(*(world.send("POST", f"/jobs/{job}/cancel") for _ in range(20)))
        assert {(answer.status_code, answer.json()["state"]) for answer in answers} == {(200, "cancelled")}

    async def test_a_finished_one_is_not_cancelled(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        await world.report(await world.printing(printer), "completed")
        assert code(await world.send("POST", f"/jobs/{job}/cancel")) == "job_ended"

    async def test_printing_switched_off(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path
    ) -> None:
        """New jobs get a clear answer; what waits is kept, nothing starts, and everything else works."""
        async with start_queue(database, issuer, auth_url, tmp_path) as url, httpx.AsyncClient(base_url=url) as http:
            world = QueueWorld(http, issuer, tmp_path)
            printer, held = await world.printer("one"), await world.printer("two")
            await world.job()
            attempt = await world.claimed(held)
            job = await world.job()
        async with (
            start_queue(database, issuer, auth_url, tmp_path, enabled=False) as url,
            httpx.AsyncClient(base_url=url) as http,
        ):
            world.http = http
            refused = await world.send("POST", "/jobs", json={"file_id": await world.file()})
            assert (refused.status_code, code(refused)) == (503, "printing_disabled")
            assert int(refused.headers["retry-after"]) > 0
            assert await world.claim(printer) is None
            assert code(await world.permit(attempt)) == "printing_disabled"
            assert (await world.job_now(job))["state"] == "queued"


class TestPrinters:
    async def test_a_name_is_used_once(self, world: QueueWorld) -> None:
        await world.printer("Bench")
        body = {"name": "bench", "bridge_id": show("bridge", world.bridge)}
        answer = await world.send("POST", "/printers", json=body)
        assert (answer.status_code, code(answer)) == (409, "printer_name_taken")
        await world.neighbour().printer("Bench")

    async def test_changes_need_the_version_that_was_read(self, world: QueueWorld) -> None:
        printer = await world.printer()
        etag = (await world.send("GET", f"/printers/{printer}")).headers["etag"]
        path, change = f"/printers/{printer}", {"name": "New name"}
        assert code(await world.send("PATCH", path, json=change)) == "precondition_required"
        changed = await world.send("PATCH", path, json=change, headers={"If-Match": etag}, expect=200)
        assert (changed.json()["name"], changed.headers["etag"] == etag) == ("New name", False)
        stale = await world.send("PATCH", path, json={"name": "x"}, headers={"If-Match": etag})
        assert (stale.status_code, code(stale)) == (412, "precondition_failed")

    @pytest.mark.parametrize("field", ["name", "enabled", "bridge_id"])
    async def test_what_it_must_have_is_left_out_and_not_nulled(self, world: QueueWorld, field: str) -> None:
        path = f"/printers/{await world.printer()}"
        before = await world.send("GET", path)
        version = {"If-Match": before.headers["etag"]}
        refused = await world.send("PATCH", path, json={field: None, "model": "MK4"}, headers=version)
        assert (refused.status_code, f"value for {field}: leave it out" in refused.text) == (422, True)
        assert (await world.send("GET", path)).json() == before.json()

    async def test_its_model_is_forgotten_by_null(self, world: QueueWorld) -> None:
        path = f"/printers/{await world.printer()}"
        for model in ("MK4", None):
            version = {"If-Match": (await world.send("GET", path)).headers["etag"]}
            changed = await world.send("PATCH", path, json={"model": model}, headers=version, expect=200)
            assert changed.json()["model"] == model

    async def test_one_that_prints_is_not_deleted(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        assert code(await world.send("DELETE", f"/printers/{printer}")) == "printer_busy"
        await world.report(attempt, "completed")
        await world.send("DELETE", f"/printers/{printer}", expect=204)
        assert code(await world.send("GET", f"/printers/{printer}")) == "printer_not_found"
        claim = {"journal_id": str(world.journal)}
        assert code(await world.call("POST", f"/printers/{printer}/claim", json=claim)) == "printer_not_found"

    async def test_a_bed_is_cleared_only_of_the_print_that_was_named(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.report(attempt, "completed")
        for wrong in (None, {"id": f"attempt_{uuid4().hex}"}):
            assert code(await world.bed_cleared(printer, wrong)) == "bed_changed"
        assert (await world.bed_cleared(printer, attempt)).json()["bed"]["state"] == "clear"
        assert code(await world.bed_cleared(printer, attempt)) == "bed_changed"

    async def test_an_old_confirmation_never_clears_a_foreign_print(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.report(attempt, "completed")
        first = {"changed_at": (await world.printer_now(printer))["bed"]["changed_at"]}
        foreign = {"json": {"file_name": "by hand.gcode"}}
        await world.call("POST", f"/printers/{printer}/foreign-print", expect=204, **foreign)
        assert code(await world.bed_cleared(printer, attempt)) == "bed_changed"
        path = f"/printers/{printer}/bed-cleared"
        seen = {"changed_at": (await world.printer_now(printer))["bed"]["changed_at"]}
        await world.call("POST", f"/printers/{printer}/foreign-print", expect=204, **foreign)
        for old in ({}, first, seen):
            assert code(await world.send("POST", path, json=old)) == "bed_changed"
        assert (await world.bed_cleared(printer, None)).json()["bed"]["state"] == "clear"

    async def test_a_foreign_print_beside_ours_leaves_the_bed_to_ours(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.call("POST", f"/printers/{printer}/foreign-print", json={"file_name": "x"}, expect=204)
        assert (await world.printer_now(printer))["bed"]["attempt_id"] == attempt["id"]

    async def test_one_that_jobs_wait_for_is_not_deleted(self, world: QueueWorld) -> None:
        printer = await world.printer()
        job = await world.job(printer_id=printer)
        assert code(await world.send("DELETE", f"/printers/{printer}")) == "printer_has_jobs"
        await world.send("POST", f"/jobs/{job}/cancel", expect=200)
        await world.send("DELETE", f"/printers/{printer}", expect=204)

    async def test_it_moves_to_another_bridge_between_prints(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        other = world.another_bridge()
        path, change = f"/printers/{printer}", {"bridge_id": show("bridge", other.bridge)}
        attempt = await world.printing(printer)
        headers = {"If-Match": (await world.send("GET", path)).headers["etag"]}
        assert code(await world.send("PATCH", path, json=change, headers=headers)) == "printer_busy"
        await world.report(attempt, "completed")
        await world.bed_cleared(printer, attempt)
        await world.send("PATCH", path, json=change, headers=headers, expect=200)
        await world.job()
        claim = {"journal_id": str(world.journal)}
        assert code(await world.call("POST", f"/printers/{printer}/claim", json=claim)) == "printer_not_found"
        assert await other.claim(printer) is not None


class TestDocs:
    async def test_the_page_loads_only_from_here(self, world: QueueWorld) -> None:
        page = await world.http.get("/api/v1/docs")
        assert page.status_code == 200
        assert "http" not in page.text.replace("http-equiv", "")
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css"):
            assert len((await world.http.get(f"/api/v1/docs/{asset}")).content) > 100_000
        assert (await world.http.get("/api/v1/docs/..%2f__init__.py")).status_code == 404


class TestVisibility:
    async def test_another_organisations_things_do_not_exist(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        other = world.neighbour()
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", f"/jobs/{job}", {}),
            ("GET", f"/jobs/{job}/attempts", {}),
            ("POST", f"/jobs/{job}/cancel", {}),
            ("POST", f"/jobs/{job}/pause", {}),
            ("POST", f"/jobs/{job}/resume", {}),
            ("GET", f"/printers/{printer}", {}),
            ("PATCH", f"/printers/{printer}", {"json": {"name": "x"}, "headers": {"If-Match": '"x"'}}),
            ("DELETE", f"/printers/{printer}", {}),
            ("POST", f"/printers/{printer}/bed-cleared", {"json": {}}),
        ]
        for method, path, more in requests:
            assert (await other.send(method, path, **more)).status_code == 404, path
        body = {"file_id": await other.file(), "printer_id": printer}
        assert code(await other.send("POST", "/jobs", json=body)) == "reference_unknown"
        for path in ("/jobs", "/printers"):
            assert (await other.send("GET", path)).json()["items"] == []

    async def test_a_client_sees_only_their_own_jobs(self, world: QueueWorld) -> None:
        job = await world.job()
        assert (await world.send("GET", f"/jobs/{job}", role=Role.CLIENT)).status_code == 200
        world.user = new_id()
        assert code(await world.send("GET", f"/jobs/{job}", role=Role.CLIENT)) == "job_not_found"
        assert (await world.send("GET", "/jobs", role=Role.CLIENT)).json()["items"] == []
