"""What the camera service tells: an event that people see, and a pause of the very print that was seen, once."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from fluxprint_common.ids import new_id, show
from fluxprint_common.permissions import Role
from support.queue import Json, QueueWorld


def observation(world: QueueWorld, printer: str, attempt: Json | None = None, **changed: object) -> Json:
    """Trouble at a printer; with an attempt that is to be paused."""
    pause: dict[str, Any] = {}
    if attempt is not None:
        pause = {
            "attempt_id": attempt["id"],
            "job_id": attempt["job_id"],
            "pause_for": show("user", world.user),
            "pause_until": (datetime.now(UTC) + timedelta(minutes=2)).isoformat(),
        }
    return {
        "id": show("decision", new_id()),
        "has_ended": False,
        "organisation_id": show("org", world.organisation),
        "printer_id": printer,
        "camera_id": show("camera", new_id()),
        "attempt_id": None,
        "job_id": None,
        "type": "camera.failure_suspected",
        "data": {"kind": "failure", "value": 0.9},
        "pause_for": None,
        "pause_until": None,
        **pause,
        **changed,
    }


async def tell(world: QueueWorld, body: Json) -> httpx.Response:
    return await world.http.post("/internal/observations", json=body)


async def events(world: QueueWorld, type_: str = "camera.failure_suspected") -> list[Json]:
    items: list[Json] = (await world.send("GET", "/events", params={"type": type_}, expect=200)).json()["items"]
    return items


async def orders(world: QueueWorld, printer: str) -> list[tuple[str, str]]:
    """Which attempts are to be paused."""
    items = (await world.call("GET", f"/printers/{printer}/commands", expect=200)).json()["items"]
    return [(item["kind"], item["attempt_id"]) for item in items]


async def printing(world: QueueWorld, printer: str, job: str) -> Json:
    return {**await world.printing(printer), "job_id": job}


class TestEvents:
    async def test_show_what_was_seen_to_whoever_may_see_the_printer(self, world: QueueWorld) -> None:
        printer = await world.printer()
        body = observation(world, printer)
        assert (await tell(world, body)).json() == {"outcome": "notified"}
        [event] = await events(world)
        assert (event["subject"], event["data"]["kind"]) == (body["camera_id"], "failure")
        assert event["data"]["decision_id"] == body["id"]
        assert (await world.neighbour().send("GET", "/events")).json()["items"] == []
        assert (await world.send("GET", "/events", role=Role.CLIENT)).status_code == 403

    async def test_are_left_once_however_often_they_are_told(self, world: QueueWorld) -> None:
        body = observation(world, await world.printer())
        for _ in range(3):
            assert (await tell(world, body)).json() == {"outcome": "notified"}
        for _ in range(2):
            await tell(world, {**body, "has_ended": True, "type": "camera.trouble_ended"})
        assert len(await events(world)) == len(await events(world, "camera.trouble_ended")) == 1

    async def test_are_not_left_at_printers_of_others_or_of_other_types(self, world: QueueWorld) -> None:
        printer = await world.printer()
        stranger = world.neighbour()
        assert (await tell(world, observation(stranger, printer))).status_code == 404
        assert (await tell(world, observation(world, show("printer", new_id())))).status_code == 404
        assert (await tell(world, observation(world, printer, type="job.completed"))).status_code == 422
        assert await events(stranger) == []


class TestPauses:
    async def test_order_the_attempt_that_was_seen_and_no_other_copy(self, world: QueueWorld) -> None:
        printer, other = await world.printer("One"), await world.printer("Two")
        job = await world.job(copies=2)
        seen, beside = await printing(world, printer, job), await printing(world, other, job)
        body = observation(world, printer, seen)
        for _ in range(2):
            assert (await tell(world, body)).json() == {"outcome": "pause_ordered"}
        assert await orders(world, printer) == [("pause", seen["id"])]
        assert await orders(world, other) == []
        assert beside["id"] != seen["id"]
        [event] = await events(world)
        assert (event["data"]["outcome"], event["data"]["attempt_id"]) == ("pause_ordered", seen["id"])

    async def test_are_ordered_once_though_the_print_goes_on(self, world: QueueWorld) -> None:
        printer = await world.printer()
        seen = await printing(world, printer, await world.job())
        body = observation(world, printer, seen)
        await tell(world, body)
        [command] = (await world.call("GET", f"/printers/{printer}/commands")).json()["items"]
        await world.call("POST", f"/commands/{command['id']}/result", json={"state": "succeeded"}, expect=204)
        await world.report(seen, "paused")
        await world.report(seen, "resumed")
        assert (await tell(world, body)).json() == {"outcome": "pause_ordered"}
        assert await orders(world, printer) == []

    async def test_do_not_touch_the_next_print(self, world: QueueWorld) -> None:
        printer = await world.printer()
        first = await printing(world, printer, await world.job())
        await world.report(first, "failed", reason="print_failed")
        await world.bed_cleared(printer, first)
        second = await printing(world, printer, await world.job())
        assert (await tell(world, observation(world, printer, first))).json() == {"outcome": "not_printing"}
        assert await orders(world, printer) == []
        assert second["id"] != first["id"]

    async def test_need_the_printer_that_was_seen_the_time_and_the_print(self, world: QueueWorld) -> None:
        printer, other = await world.printer("One"), await world.printer("Two")
        seen = await printing(world, printer, await world.job())
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        said = {
            "another printer": observation(world, other, seen),
            "another job": observation(world, printer, {**seen, "job_id": show("job", new_id())}),
            "another attempt": observation(world, printer, {**seen, "id": show("attempt", new_id())}),
            "too late": observation(world, printer, seen, pause_until=past),
        }
        outcomes = {name: (await tell(world, body)).json()["outcome"] for name, body in said.items()}
        assert outcomes == {**dict.fromkeys(said, "not_printing"), "too late": "too_late"}
        assert await orders(world, printer) == await orders(world, other) == []
