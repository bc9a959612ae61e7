"""What the queue tells the other services of prints."""

import json
from uuid import UUID

from fluxprint_common.prints import PATH, Print, Prints
from support.link import link, telemetry
from support.queue import QueueWorld, eventually


def uuid_of(shown: str) -> UUID:
    return UUID(hex=shown.partition("_")[2])


async def told(world: QueueWorld, *attempts: str) -> dict[UUID, Print]:
    """The prints of one organisation, by the attempt; those named whatever became of them."""
    body = {"attempt_ids": [str(uuid_of(attempt)) for attempt in attempts]}
    answer = await world.http.post(PATH, json=body)
    assert answer.status_code == 200, answer.text
    prints = Prints.model_validate_json(answer.content).prints
    return {found.attempt_id: found for found in prints if found.organisation_id == world.organisation}


class TestPrints:
    async def test_are_told_from_the_permit_on(self, world: QueueWorld) -> None:
        printer, job = await world.printer(), await world.job()
        attempt = await world.claimed(printer)
        assert await told(world, attempt["id"]) == {}
        assert (await world.permit(attempt)).status_code == 200
        [starting] = (await told(world)).values()
        assert (starting.state, starting.started_at) == ("starting", None)
        assert (starting.printer_id, starting.job_id) == (uuid_of(printer), uuid_of(job))
        await world.report(attempt, "started")
        [printing] = (await told(world)).values()
        assert printing.state.runs
        assert printing.started_at is not None

    async def test_are_told_after_their_end_to_who_asks_for_them(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.report(attempt, "failed", reason="print_failed", detail="Thermal runaway")
        assert await told(world) == {}
        [ended] = (await told(world, attempt["id"])).values()
        assert (ended.state, ended.reason) == ("failed", "print_failed")
        assert ended.state.is_failure
        assert ended.ended_at is not None

    async def test_say_since_when_their_outcome_is_unknown(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        await world.report(attempt, "unknown", reason="not_decidable", detail="?", evidence={})
        [unknown] = (await told(world)).values()
        assert unknown.state.is_failure
        assert unknown.ended_at is not None

    async def test_say_how_far_and_how_high_they_are(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        async with link(world) as bridge:
            await bridge.send(json.dumps(telemetry(printer, attempt_id=attempt["id"], progress=0.25, height_mm=3.4)))

            async def heard() -> Print | None:
                [found] = (await told(world)).values()
                return found if found.progress is not None else None

            found = await eventually(heard, within_s=30)
            assert (found.progress, found.height_mm) == (0.25, 3.4)

    async def test_name_what_was_seen_of_them(self, world: QueueWorld) -> None:
        printer, _ = await world.printer(), await world.job()
        attempt = await world.printing(printer)
        shown = (await world.send("GET", f"/attempts/{attempt['id']}", expect=200)).json()
        assert shown["pictures_path"] == f"/api/v1/cameras/pictures?attempt_id={attempt['id']}"
        assert shown["timelapses_path"] == f"/api/v1/cameras/timelapses?attempt_id={attempt['id']}"


class TestBridges:
    async def test_are_those_of_printers_that_are_there(self, world: QueueWorld) -> None:
        kept, deleted = await world.printer(), await world.printer(name="Other")
        await world.send("DELETE", f"/printers/{deleted}", expect=204)
        answer = await world.http.post(PATH, json={"printer_ids": [str(uuid_of(id_)) for id_ in (kept, deleted)]})
        assert Prints.model_validate_json(answer.content).bridges == {uuid_of(kept): world.bridge}
