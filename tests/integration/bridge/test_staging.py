"""The next file is brought while the printer prints or waits, and found again after a kill: on the real OctoPrint."""

import asyncio

import pytest

from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.gate import gate_to
from support.octoprint import copies_of, slow_gcode
from support.staging import prints_from, staged, staged_for_its_bed, until_gone

UPLOAD = b"POST /api/files/local HTTP"


class TestStaging:
    async def test_the_next_file_comes_while_it_prints_and_starts_at_once(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        first = await cloud.printing(slow_gcode(30))
        content = slow_gcode(0.3)
        second = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        job = await octoprint.job()
        assert (job["state"], job["job"]["file"]["path"]) == ("Printing", first.path)  # type: ignore[index]
        assert octoprint.starts(path) == 0

        await by_hand.press(octoprint, "cancel")
        await cloud.until_state(first, "cancelled")
        cloud.calls.clear()
        await prints_from(path, cloud, octoprint, second)
        assert not [call for call in cloud.calls if call.startswith("file@")]
        assert await copies_of(octoprint, content) == [path]
        assert await octoprint.successes_and_failures(path) == (1, 0)

    async def test_it_comes_while_the_printer_waits_for_its_bed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await prints_from(path, cloud, octoprint, attempt)

    async def test_claimed_work_goes_before_a_download_ahead_of_time(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.beds[cloud.printer_id] = "occupied"
        hold = cloud.hold("ahead")
        attempt = await cloud.add_job(slow_gcode(0.3))
        try:
            await asyncio.wait_for(hold.caught.wait(), 20)
            await cloud.clear_bed()
            await cloud.until_state(attempt, "completed")
        finally:
            hold.release()
        assert octoprint.starts(attempt.path) == 1

    async def test_it_goes_on_with_a_download_that_was_broken_off_in_the_middle(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.beds[cloud.printer_id] = "occupied"
        content = slow_gcode(0.3) + 80_000 * b"; the middle of a long file\n"
        go_on = cloud.stall_at = asyncio.Event()
        attempt = await cloud.add_job(content)
        try:
            await cloud.until(lambda: cloud.stalled)
            cloud.stall_at = None
            await cloud.clear_bed()
            await cloud.until_state(attempt, "completed")
        finally:
            go_on.set()
        offsets = [int(call.removeprefix("file@")) for call in cloud.calls if call.startswith("file@")]
        assert len(offsets) == 1
        assert 0 < offsets[0] < len(content)
        assert octoprint.starts(attempt.path) == 1

    async def test_a_staged_file_is_found_again_after_a_kill(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await bridge.until_logged('"staged"')
        await bridge.restart()
        await prints_from(path, cloud, octoprint, attempt)

    async def test_one_whose_id_an_attempt_has_had_is_removed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        cloud.used_ids.add(path.rpartition("/")[2].removesuffix(".gcode"))
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert attempt.path != path
        await until_gone(octoprint, path)


class TestKilledWhileStaging:
    async def test_in_the_download_it_is_brought_under_another_id(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.once("ahead", bridge.restart)
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await prints_from(path, cloud, octoprint, attempt)

    async def test_an_upload_whose_answer_was_lost_is_removed_and_made_again(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("killed")
        async with (
            gate_to(octoprint.url) as gate,
            running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, octoprint_url=gate.url) as bridge,
        ):
            hold = gate.hold_answer(UPLOAD)
            content = slow_gcode(0.3)
            attempt, cut = await staged_for_its_bed(own_cloud, octoprint, content)
            await asyncio.wait_for(hold.caught.wait(), 30)
            await bridge.restart()
            await until_gone(octoprint, cut)
            path = await staged(octoprint, content)
            assert path != cut
            await prints_from(path, own_cloud, octoprint, attempt)
            assert octoprint.starts(cut) == 0
