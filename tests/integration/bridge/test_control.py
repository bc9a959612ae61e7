"""People cancel, pause and resume: through the cloud and at the printer."""

import pytest
from fastapi import Response

from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.before_octoprint import standing_before
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode


def _deaf_to_pause(body: bytes) -> Response | None:
    """It takes a pause with 204: the real one ignores one so for a moment only, while it changes its state."""
    return Response(status_code=204) if b'"pause"' in body else None


class TestThroughTheCloud:
    async def test_cancel(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        command = await cloud.command(attempt, "cancel")
        await cloud.until_state(attempt, "cancelled")
        assert attempt.reason == "cancelled_by_request"
        await cloud.until(lambda: command.state == "succeeded")
        assert await octoprint.successes_and_failures(attempt.path) == (0, 1)

    async def test_pause_and_resume(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        attempt = await cloud.printing(slow_gcode(2))
        pause = await cloud.command(attempt, "pause")
        await cloud.until_state(attempt, "paused")
        await cloud.until(lambda: pause.state == "succeeded")
        assert await octoprint.state() == "Paused"
        again = await cloud.command(attempt, "pause")
        await cloud.until(lambda: again.state == "succeeded")
        resume = await cloud.command(attempt, "resume")
        await cloud.until(lambda: resume.state == "succeeded")
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "paused", "resumed", "completed"]

    async def test_a_cancel_does_not_wait_behind_a_pause_that_has_no_effect(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("deaf")
        async with (
            standing_before(octoprint, instead=_deaf_to_pause) as url,
            running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, octoprint_url=url) as bridge,
        ):
            attempt = await own_cloud.printing(slow_gcode(30))
            pause = await own_cloud.command(attempt, "pause")
            await bridge.until_logged('"kind": "pause"')
            cancel = await own_cloud.command(attempt, "cancel")
            await own_cloud.until_state(attempt, "cancelled", timeout_s=20)
            await own_cloud.until(lambda: cancel.state == "succeeded")
            await own_cloud.until(lambda: pause.state == "failed")
            assert pause.detail == "The print is over: cancelled."

    async def test_a_command_that_comes_too_late_fails_with_a_reason(
        self, cloud: FakeCloud, bridge: BridgeProcess
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")
        command = await cloud.command(attempt, "pause")
        await cloud.until(lambda: command.state == "failed")
        assert command.detail == "The print is over: completed."

    async def test_a_lost_doorbell_and_a_command_of_nobody_delay_nothing(
        self, cloud: FakeCloud, bridge: BridgeProcess
    ) -> None:
        cloud.beds[cloud.printer_id] = "occupied"
        stranger = await cloud.add_job(slow_gcode(1))
        stranger.state = "failed"  # another journal's
        await cloud.clear_bed()
        stray = await cloud.command(stranger, "pause")
        attempt = await cloud.printing(slow_gcode(30))
        await cloud.command(attempt, "cancel", ring=False)
        await cloud.until_state(attempt, "cancelled", timeout_s=10)
        assert stray.state == "pending"

    async def test_nothing_is_asked_where_nothing_is_in_hand(self, cloud: FakeCloud, bridge: BridgeProcess) -> None:
        """One bridge may have dozens of printers, and a command is for a print."""
        await cloud.until_claims()
        fetched = cloud.calls.count("commands")
        await cloud.ring("command")
        await cloud.until(lambda: cloud.calls.count("commands") > fetched)  # from now on it has a minute
        await cloud.until_claims()  # what was left of a command before has ended by now
        asked = cloud.calls.count("commands")
        await cloud.until_claims(4)  # a second each
        assert cloud.calls.count("commands") == asked

    async def test_a_command_survives_the_death_of_the_bridge(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        await bridge.kill()
        command = await cloud.command(attempt, "cancel")
        await bridge.start()
        await cloud.until_state(attempt, "cancelled")
        await cloud.until(lambda: command.state == "succeeded")

    async def test_a_job_that_is_cancelled_after_the_permit_is_never_started(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def cancel_and_stumble() -> None:
            attempt.job_cancelled = True
            await bridge.restart()

        cloud.once("permit", cancel_and_stumble)
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "cancelled")
        assert attempt.reason == "cancelled_before_start"
        assert octoprint.starts(attempt.path) == 0

    async def test_a_job_that_is_cancelled_before_the_permit_is_given_back(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def cancel() -> None:
            attempt.job_cancelled = True

        cloud.once("file", cancel)
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "job_cancelled"
        assert octoprint.starts(attempt.path) == 0

    async def test_a_cancel_before_the_permit_ends_the_transfer(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def cancel() -> None:
            attempt.state = "cancelled"
            await cloud.ring("attempt")

        cloud.once("file", cancel)
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "cancelled")
        following = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(following, "completed")
        assert octoprint.starts(attempt.path) == 0


class TestAtThePrinter:
    async def test_cancel(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        await by_hand.press(octoprint, "cancel")
        await cloud.until_state(attempt, "cancelled")
        assert attempt.reason == "cancelled_at_printer"
        assert attempt.detail == "Cancelled by the OctoPrint user admin."

    async def test_pause_and_resume(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        attempt = await cloud.printing(slow_gcode(2))
        await by_hand.press(octoprint, "pause")
        await cloud.until_state(attempt, "paused")
        await by_hand.press(octoprint, "resume")
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "paused", "resumed", "completed"]
