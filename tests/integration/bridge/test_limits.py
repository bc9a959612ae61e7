"""The queue answers 429: whatever was to be told is told later, and a print is the same print."""

from collections.abc import Awaitable, Callable

from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess
from support.fake_cloud import Command, FakeCloud, Refusal
from support.octoprint import slow_gcode

TIMES = 2


async def nothing() -> None:
    """Answer as ever."""


def too_many(
    *, refused: Callable[[], object] = lambda: None, then: Callable[[], Awaitable[object]] = nothing
) -> Callable[[], Awaitable[object]]:
    """The first calls are too many. `refused` takes back what such a call has changed."""
    calls = 0

    async def answer() -> None:
        nonlocal calls
        calls += 1
        if calls <= TIMES:
            refused()
            raise Refusal(429, "rate_limited")
        await then()

    return answer


def waits_again(command: Command) -> Callable[[], None]:
    def take_back() -> None:
        command.state = "pending"

    return take_back


class TestTooManyCalls:
    async def test_every_call_of_a_print_is_made_again_and_it_starts_once(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def until_renewed() -> None:
            await cloud.until(lambda: cloud.calls.count("lease") > TIMES)

        cloud.lease_s = 4.0
        kinds = "started", "paused", "resumed", "completed"
        reports, results = [f"report:{kind}" for kind in kinds], ["result:pause", "result:resume"]
        for call in ("claim", "permit", "lease", *reports):
            cloud.before_answer[call] = too_many()
        cloud.before_answer["file"] = too_many(then=until_renewed)
        attempt = await cloud.add_job(slow_gcode(3))
        await cloud.until_state(attempt, "printing")
        for kind, state in (("pause", "paused"), ("resume", "printing")):
            command = await cloud.command(attempt, kind, ring=False)
            cloud.before_answer[f"result:{kind}"] = too_many(refused=waits_again(command))
            await cloud.ring("command")
            await cloud.until_state(attempt, state)
            await cloud.until(lambda: cloud.calls.count(f"result:{kind}") > TIMES)  # noqa: B023  (waited for here)
            assert command.state == "succeeded"
        await cloud.until_state(attempt, "completed")
        await cloud.until(lambda: cloud.calls.count("report:completed") > TIMES)
        assert attempt.reports == list(kinds)
        assert {call: cloud.calls.count(call) for call in (*reports, *results)} == dict.fromkeys(
            (*reports, *results), TIMES + 1
        )
        assert octoprint.starts(attempt.path) == 1

    async def test_a_foreign_print_is_told_again(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")
        cloud.before_answer["foreign"] = too_many()
        body = {"command": "select", "print": True}
        (await octoprint.call("POST", f"/api/files/local/{attempt.path}", json_body=body)).raise_for_status()
        await cloud.until(lambda: cloud.calls.count("foreign") > TIMES)
        assert set(cloud.foreign_prints) == {attempt.path}
