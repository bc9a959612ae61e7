"""A claim may wait for work, and bring its permit along for what the bridge has staged and looked at."""

import asyncio
import hashlib
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy.exc import OperationalError

from fluxprint_common.database import after_commit
from fluxprint_common.ids import new_id, show
from fluxprint_queue.bridge import handover
from fluxprint_queue.bridge.waiters import PER_BRIDGE
from support.queue import GCODE, Json, QueueWorld, code, eventually, queue_app
from support.servers import Database, connected
from support.serving import serving
from support.tokens import Issuer

Asked = asyncio.Task[httpx.Response]

_WAITS_FOR_A_LOCK = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def staged(content: bytes = GCODE) -> Json:
    return {"attempt_id": show("attempt", new_id()), "sha256": hashlib.sha256(content).hexdigest()}


async def ask(world: QueueWorld, printer: str, **more: Any) -> httpx.Response:
    body = {"journal_id": str(world.journal), **more}
    return await world.call("POST", f"/printers/{printer}/claim", json=body)


def begin(asked: Awaitable[httpx.Response]) -> Asked:
    return asyncio.ensure_future(asked)


async def waits(world: QueueWorld, asked: Asked) -> None:
    """Until the service has begun with what was asked: it answers others in the order in which they come."""
    for _ in range(3):
        await world.call("GET", "/printers", expect=200)
    assert not asked.done()


class TestReadyClaims:
    async def test_the_permit_comes_with_what_was_staged(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        file = staged()
        given = (await ask(world, printer, staged=file, ready=True)).json()
        assert (given["attempt"]["id"], given["attempt"]["state"]) == (file["attempt_id"], "starting")
        assert given["permit_valid_s"] == 30
        bed = (await world.printer_now(printer))["bed"]
        assert (bed["state"], bed["attempt_id"]) == ("occupied", file["attempt_id"])
        assert (await world.job_now(job))["state"] == "active"
        told = (await world.send("GET", "/events")).json()["items"]
        assert [event["type"] for event in told[-3:]] == ["attempt.claimed", "job.active", "attempt.starting"]
        again = await world.permit(given["attempt"])  # the same grant, where the answer was lost
        assert again.status_code == 200
        assert (await world.report(given["attempt"], "started")).status_code == 200

    async def test_anything_else_is_claimed_without(self, world: QueueWorld) -> None:
        used = staged()
        for file, ready in ((staged(b"; another\n"), True), (None, True), (used, False), (used, True)):
            printer, _ = await world.printer(str(new_id())), await world.job()
            given = (await ask(world, printer, ready=ready, **({"staged": file} if file else {}))).json()
            assert (given["attempt"]["state"], given["permit_valid_s"]) == ("claimed", None)
            assert (await world.printer_now(printer))["bed"]["state"] == "clear"

    async def test_one_that_lives_is_taken_over_without_another_permit(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        first = (await ask(world, printer, staged=staged(), ready=True)).json()
        second = (await ask(world, printer, staged=staged(), ready=True)).json()
        assert second["attempt"]["id"] == first["attempt"]["id"]
        assert (second["attempt"]["state"], second["permit_valid_s"]) == ("starting", None)

    @pytest.mark.parametrize("occupied", [False, True])
    async def test_it_acts_on_what_it_finds_behind_the_lock(
        self, own_world: QueueWorld, database: Database, occupied: bool
    ) -> None:
        printer, job = await own_world.printer(), await own_world.job()
        file = staged()
        async with connected(database.url) as owner:
            async with owner.transaction():  # somebody changes both rows that the claim has begun with
                bed = ", bed_state = 'occupied'" if occupied else ""
                await owner.execute(f"UPDATE queue.printer SET name = 'Other'{bed}")  # noqa: S608  (see above)
                await owner.execute("UPDATE queue.job SET priority = 77")
                asked = begin(ask(own_world, printer, staged=file, ready=True))
                await eventually(lambda: owner.fetchval(_WAITS_FOR_A_LOCK), within_s=30)
            answer = await asked
        assert answer.status_code == (204 if occupied else 200)
        bed_now = (await own_world.printer_now(printer))["bed"]
        assert bed_now["state"] == "occupied"
        assert bed_now["attempt_id"] == (None if occupied else file["attempt_id"])
        assert (await own_world.job_now(job))["state"] == ("queued" if occupied else "active")

    async def test_many_at_once_give_one_permit(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job(copies=3)
        asked = [ask(world, printer, staged=staged(), ready=True) for _ in range(8)]
        given = [answer.json() for answer in await asyncio.gather(*asked) if answer.status_code == 200]
        assert sum(one["permit_valid_s"] is not None for one in given) == 1
        assert len({one["attempt"]["id"] for one in given}) == 1


class TestClaimsThatWait:
    async def test_one_is_answered_when_the_bed_is_cleared(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(clear=False), await world.job()
        file = staged()
        asked = begin(ask(world, printer, staged=file, ready=True, wait_s=25))
        await waits(world, asked)
        assert (await world.bed_cleared(printer, None)).status_code == 200
        assert (await asked).json()["permit_valid_s"] == 30

    async def test_one_is_answered_when_a_job_comes(self, world: QueueWorld) -> None:
        printer = await world.printer()
        asked = begin(ask(world, printer, wait_s=25))
        await waits(world, asked)
        job = await world.job()
        assert (await asked).json()["attempt"]["job_id"] == job

    async def test_what_one_that_went_away_was_given_is_its_next_claims(self, world: QueueWorld) -> None:
        printer = await world.printer()
        asked = begin(ask(world, printer, wait_s=25))
        await waits(world, asked)
        asked.cancel()
        job = await world.job()  # whether the service has heard of it or not
        assert (await world.claimed(printer))["job_id"] == job
        assert len((await world.send("GET", f"/jobs/{job}/attempts")).json()["items"]) == 1

    async def test_one_too_many_is_answered_at_once(self, world: QueueWorld) -> None:
        printer = await world.printer()
        asked = [begin(ask(world, printer, wait_s=25)) for _ in range(PER_BRIDGE + 1)]

        async def first() -> Asked | None:
            return next((one for one in asked if one.done()), None)

        assert (await (await eventually(first, within_s=30))).status_code == 204
        job = await world.job()

        async def given() -> httpx.Response | None:
            return next((one.result() for one in asked if one.done() and one.result().status_code == 200), None)

        assert (await eventually(given, within_s=30)).json()["attempt"]["job_id"] == job
        for one in asked:
            one.cancel()

    async def test_one_that_was_withdrawn_takes_nothing_from_the_next(self, world: QueueWorld) -> None:
        printer = await world.printer()
        # The service may hear late that a bridge has gone, which asks again meanwhile: both are rung.
        asked = [begin(ask(world, printer, wait_s=wait_s)) for wait_s in (3, 3)]
        await waits(world, asked[1])
        await world.job()
        answers = sorted(await asyncio.gather(*asked), key=lambda answer: answer.status_code)
        assert [answer.status_code for answer in answers] == [200, 204]
        assert (await world.permit(answers[0].json()["attempt"])).status_code == 200


class TestConfirmedAndClaimed:
    """Who confirms the bed claims for the bridge that waits for it, in one transaction."""

    async def test_confirmation_and_permit_are_one_commit(self, world: QueueWorld) -> None:
        printer, job = await world.printer(clear=False), await world.job()
        file = staged()
        asked = begin(ask(world, printer, staged=file, ready=True, wait_s=25))
        await waits(world, asked)
        confirmed = await world.bed_cleared(printer, None)
        assert confirmed.json()["bed"]["state"] == "clear"  # what was confirmed, not what came of it
        given = (await asked).json()
        assert (given["attempt"]["id"], given["permit_valid_s"]) == (file["attempt_id"], 30)
        told = (await world.send("GET", "/events")).json()["items"][-4:]
        kinds = ["printer.bed_cleared", "attempt.claimed", "job.active", "attempt.starting"]
        assert [event["type"] for event in told] == kinds
        assert len({event["at"] for event in told}) == 1  # a transaction has one time
        bed = (await world.printer_now(printer))["bed"]
        assert (bed["state"], bed["attempt_id"]) == ("occupied", file["attempt_id"])
        assert code(await world.bed_cleared(printer, None)) == "bed_changed"  # said again, of what lay there before
        assert (await world.job_now(job))["state"] == "active"

    async def test_a_bridge_that_is_not_ready_claims_for_itself(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(clear=False), await world.job()
        asked = begin(ask(world, printer, staged=staged(), wait_s=25))
        await waits(world, asked)
        assert (await world.bed_cleared(printer, None)).status_code == 200
        assert (await asked).json()["attempt"]["state"] == "claimed"
        told = (await world.send("GET", "/events")).json()["items"]
        at = {event["type"]: event["at"] for event in told}
        assert at["attempt.claimed"] > at["printer.bed_cleared"]

    async def test_a_refused_confirmation_claims_nothing(self, world: QueueWorld) -> None:
        printer, job = await world.printer(clear=False), await world.job()
        asked = begin(ask(world, printer, staged=staged(), ready=True, wait_s=2))
        await waits(world, asked)
        assert code(await world.bed_cleared(printer, {"id": show("attempt", new_id())})) == "bed_changed"
        assert (await asked).status_code == 204
        assert (await world.job_now(job))["state"] == "queued"

    async def test_a_claim_that_fails_takes_no_confirmation_along(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        printer, job = await own_world.printer(clear=False), await own_world.job()
        async with connected(database.url) as owner:
            try:
                await owner.execute(
                    "CREATE FUNCTION queue.refuse() RETURNS trigger LANGUAGE plpgsql AS "
                    "$$ BEGIN RAISE unique_violation USING MESSAGE = 'somebody was faster'; END $$"
                )
                await owner.execute("GRANT EXECUTE ON FUNCTION queue.refuse() TO PUBLIC")
                await owner.execute(
                    "CREATE TRIGGER refuse BEFORE INSERT ON queue.attempt FOR EACH ROW EXECUTE FUNCTION queue.refuse()"
                )
                asked = begin(ask(own_world, printer, staged=staged(), ready=True, wait_s=25))
                await waits(own_world, asked)
                assert (await own_world.bed_cleared(printer, None)).status_code == 200
                assert (await own_world.printer_now(printer))["bed"]["state"] == "clear"
                assert (await asked).status_code >= 400  # the bridge's own claim fails as well, and it asks again
            finally:
                await owner.execute("DROP FUNCTION queue.refuse CASCADE")
        assert (await own_world.claimed(printer))["job_id"] == job
        told = [event["type"] for event in (await own_world.send("GET", "/events")).json()["items"]]
        assert told.count("printer.bed_cleared") == told.count("attempt.claimed") == 1

    async def test_a_commit_that_nobody_heard_of_is_not_answered_with_nothing(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lose_the_answer() -> None:
            raise OperationalError("COMMIT", {}, ConnectionResetError("away"))

        app = queue_app(database, issuer, auth_url, tmp_path)
        async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
            world = QueueWorld(http, issuer, tmp_path)
            printer, job = await world.printer(clear=False), await world.job()
            file = staged()
            asked = begin(ask(world, printer, staged=file, ready=True, wait_s=25))
            await waits(world, asked)
            with monkeypatch.context() as lost:
                lost.setattr(handover, "after_commit", lambda session, _give: after_commit(session, lose_the_answer))
                assert (await world.bed_cleared(printer, None)).status_code == 503
            assert (await asked).status_code == 503  # 204 would be proof that nothing was claimed
            assert (await world.job_now(job))["state"] == "active"
            again = (await ask(world, printer, staged=file, ready=True)).json()
            assert (again["attempt"]["id"], again["attempt"]["state"]) == (file["attempt_id"], "starting")

    async def test_nothing_is_claimed_for_a_bridge_that_was_signed_out(
        self, database: Database, issuer: Issuer, auth_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = queue_app(database, issuer, auth_url, tmp_path)
        async with serving(app) as url, httpx.AsyncClient(base_url=url, timeout=30) as http:
            world = QueueWorld(http, issuer, tmp_path)
            printer, job = await world.printer(clear=False), await world.job()
            asked = begin(ask(world, printer, staged=staged(), ready=True, wait_s=25))
            await waits(world, asked)
            offer = app.state.waiters.ready(UUID(printer.removeprefix("printer_"))).offer
            monkeypatch.setattr(
                app.state.revocations, "refuse", lambda session_id, _at: session_id == offer.principal.session_id
            )
            assert (await world.bed_cleared(printer, None)).status_code == 200
            assert (await asked).status_code == 401
            assert (await world.job_now(job))["state"] == "queued"

    async def test_no_claim_is_answered_with_nothing_while_a_confirmation_claims_for_it(
        self, own_world: QueueWorld, database: Database
    ) -> None:
        printer, _ = await own_world.printer(clear=False), await own_world.job()
        file = staged()
        asked = begin(ask(own_world, printer, staged=file, ready=True, wait_s=2))
        await waits(own_world, asked)
        async with connected(database.url) as owner, owner.transaction():
            await owner.execute("SELECT FROM queue.printer FOR NO KEY UPDATE")
            confirmed = asyncio.ensure_future(own_world.bed_cleared(printer, None))
            await eventually(lambda: owner.fetchval(_WAITS_FOR_A_LOCK), within_s=30)
            await asyncio.sleep(2.5)  # it has waited for as long as it wanted to
            assert not asked.done()
        assert (await confirmed).status_code == 200
        assert (await asked).json()["attempt"]["id"] == file["attempt_id"]
        assert (await asked).json()["permit_valid_s"] == 30

    async def test_confirmations_at_once_give_one_permit(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(clear=False), await world.job(copies=3)
        asked = [begin(ask(world, printer, staged=staged(), ready=True, wait_s=3)) for _ in range(3)]
        for one in asked:
            await waits(world, one)
        changed_at = (await world.printer_now(printer))["bed"]["changed_at"]
        body = {"changed_at": changed_at}
        said = await asyncio.gather(
            *[world.send("POST", f"/printers/{printer}/bed-cleared", json=body) for _ in range(4)]
        )
        assert sorted(answer.status_code for answer in said) == [200, 409, 409, 409]
        given = [answer.json() for answer in await asyncio.gather(*asked) if answer.status_code == 200]
        assert len({one["attempt"]["id"] for one in given}) == 1
        assert sum(one["permit_valid_s"] is not None for one in given) == 1
