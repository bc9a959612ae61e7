"""What was brought for later is deleted, cut or printed by somebody before its turn: on the real OctoPrint."""

import asyncio
import os

from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode
from support.staging import prints_from, staged, staged_for_its_bed, until_gone


class TestStagedFileIsHarmed:
    async def test_one_that_was_deleted_by_hand_is_transferred_as_ever(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await bridge.until_logged('"staged"')
        await by_hand.delete(octoprint, path)
        await prints_from(path, cloud, octoprint, attempt)

    async def test_one_that_was_cut_is_not_started(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        content = slow_gcode(0.5)
        attempt, path = await staged_for_its_bed(cloud, octoprint, content)
        await bridge.until_logged('"staged"')
        await _cut(octoprint, path)
        await cloud.clear_bed()
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "staged_file_changed"
        assert octoprint.starts(path) == 0
        again = await cloud.add_job(content)
        await cloud.until_state(again, "completed")
        assert again.path != path

    async def test_a_harmed_one_is_brought_again_before_it_is_needed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        content = slow_gcode(0.5)
        attempt, path = await staged_for_its_bed(cloud, octoprint, content)
        await bridge.until_logged('"staged"')
        await _cut(octoprint, path)
        await cloud.ring("work")
        await until_gone(octoprint, path)
        assert await staged(octoprint, content) != path
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")

    async def test_one_that_somebody_prints_by_hand_is_foreign_and_left_alone(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(2))
        await bridge.until_logged('"staged"')
        await by_hand.start(octoprint, path)
        await cloud.until(lambda: cloud.foreign_prints)
        await cloud.clear_bed()  # too early
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await cloud.until(lambda: len(cloud.foreign_prints) == 2)
        assert attempt.state == "queued"
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert attempt.path != path
        assert await octoprint.successes_and_failures(path) == (1, 0)


async def _cut(octoprint: OctoPrint, path: str) -> None:
    """What a kill of OctoPrint leaves while it copies from another file system: half of the bytes.

    A list that is read at this moment is taken for current although it is not, until the folder changes once more.
    """
    file = octoprint.folder / "uploads" / path
    half = file.with_suffix(".half")
    half.write_bytes(file.read_bytes()[:100])
    half.replace(file)
    await asyncio.sleep(0.5)
    os.utime(file.parent)
