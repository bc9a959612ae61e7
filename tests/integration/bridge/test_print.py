"""A print from the doorbell to its outcome, on the real OctoPrint."""

from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode


class TestPrint:
    async def test_prints_once_and_reports_each_step(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(2))
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        assert await octoprint.successes_and_failures(attempt.path) == (1, 0)
        assert octoprint.starts(attempt.path) == 1
