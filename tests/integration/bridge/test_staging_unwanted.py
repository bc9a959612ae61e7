"""What was brought for a job that is not next any more is removed: on the real OctoPrint."""

import pytest

from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode
from support.staging import staged, staged_for_its_bed, until_gone


class TestNotWanted:
    async def test_the_file_of_a_cancelled_job_goes(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        first = await cloud.printing(slow_gcode(30))
        content = slow_gcode(0.3)
        second = await cloud.add_job(content)
        path = await staged(octoprint, content)
        second.state = "cancelled"
        await cloud.ring("work")
        await until_gone(octoprint, path)
        assert (await octoprint.job())["state"] == "Printing"
        assert octoprint.starts(path) == 0
        await by_hand.press(octoprint, "cancel")
        await cloud.until_state(first, "cancelled")

    async def test_a_more_urgent_one_takes_its_place_also_after_a_restart(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        later, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await bridge.until_logged('"staged"')
        await bridge.kill()
        content = slow_gcode(0.3)
        urgent = await cloud.add_job(content, priority=90)
        await bridge.start()
        await until_gone(octoprint, path)
        await staged(octoprint, content)
        await cloud.clear_bed()
        await cloud.until_state(urgent, "completed")
        assert later.state == "queued"

    async def test_without_the_permission_it_stays_and_work_goes_on(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        async with by_hand.bridge_may(octoprint, set(BRIDGE_PERMISSIONS) - {"FILES_DELETE"}):
            folder = tmp_path_factory.mktemp("no-delete")
            async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint) as bridge:
                unwanted, path = await staged_for_its_bed(own_cloud, octoprint, slow_gcode(0.3))
                unwanted.state = "cancelled"
                content = slow_gcode(0.3)
                wanted = await own_cloud.add_job(content)
                await staged(octoprint, content)
                await own_cloud.clear_bed()
                await own_cloud.until_state(wanted, "completed")
                assert await octoprint.file(path) is not None
                assert bridge.log.read_text().count("octoprint_files_stay") == 1
