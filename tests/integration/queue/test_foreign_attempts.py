"""What is another bridge's does not exist."""

from fluxprint_common.ids import show
from support.queue import QueueWorld, code


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
