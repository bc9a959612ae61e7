"""What was just uploaded comes to an idle printer before its job does: on the real OctoPrint."""

from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess
from support.fake_cloud import FakeCloud
from support.octoprint import copies_of, slow_gcode
from support.staging import staged, until_gone


class TestUploads:
    async def test_it_starts_at_once_when_its_job_comes(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.grants = True
        content = slow_gcode(0.3)
        await cloud.upload(content)
        path = await staged(octoprint, content)
        await cloud.until_called("waits:ready")
        assert octoprint.starts(path) == 0
        cloud.uploaded = None
        attempt = await cloud.add_job(content)
        await cloud.until_state(attempt, "completed")
        assert (attempt.path, octoprint.starts(path)) == (path, 1)
        assert await copies_of(octoprint, content) == [path]
        assert "granted" in cloud.calls
        assert not [call for call in cloud.calls if call == "permit" or call.startswith("file@")]

    async def test_it_goes_when_no_job_comes(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        content = slow_gcode(0.3)
        await cloud.upload(content)
        path = await staged(octoprint, content)
        cloud.uploaded = None
        await cloud.ring("stage")
        await until_gone(octoprint, path)
        assert octoprint.starts(path) == 0

    async def test_another_job_goes_before_it(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await cloud.upload(slow_gcode(0.3))
        await staged(octoprint, cloud.uploaded.content if cloud.uploaded else b"")
        attempt = await cloud.add_job(slow_gcode(0.2))
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1
