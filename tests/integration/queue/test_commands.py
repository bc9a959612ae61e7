"""Orders to a print: they reach its bridge, and end with it at the latest."""

from support.queue import QueueWorld, code


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
