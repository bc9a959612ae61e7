"""People print while no bridge looks, and leave their part on a bed that the queue takes for clear."""

import asyncio
from pathlib import Path

import pytest

from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import Attempt, FakeCloud
from support.gate import gate_to
from support.octoprint import slow_gcode

#: The bridge takes OctoPrint for unseen after 15 s, and for seen until 3 s after its last answer.
BLIND_S, SEEN_S = 17, 3


async def holds_the_bed(cloud: FakeCloud, waiting: Attempt, *paths: str) -> None:
    """One of them is told, once, nothing starts on its part, and then work goes on."""
    await cloud.until(lambda: cloud.foreign_prints)
    await cloud.until_claims()
    assert (cloud.beds[cloud.printer_id], waiting.state) == ("occupied", "queued")
    await cloud.clear_bed()
    await cloud.until_state(waiting, "completed")
    assert len(cloud.foreign_prints) == 1
    assert cloud.foreign_prints[0] in paths


class TestWhileTheBridgeIsAway:
    @pytest.mark.parametrize("selected", [True, False], ids=["still selected", "not selected"])
    async def test_one_that_was_cancelled_holds_the_bed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, tmp_path: Path, selected: bool
    ) -> None:
        path = f"by_hand/{tmp_path.name}.gcode"
        await bridge.kill()
        await by_hand.upload_and_start(octoprint, path, slow_gcode(20))
        await asyncio.sleep(SEEN_S)
        await by_hand.press(octoprint, "cancel")
        await by_hand.until_counted(octoprint, path, 0, 1)
        await by_hand.until_operational(octoprint)
        if not selected:
            await by_hand.unselect(octoprint, path)
        waiting = await cloud.add_job(slow_gcode(0.3))
        await bridge.start()
        await holds_the_bed(cloud, waiting, path)
        await bridge.restart()
        await cloud.until_claims()
        assert cloud.foreign_prints == [path]  # it was noticed before

    async def test_two_that_ended_and_are_not_selected_any_more_hold_the_bed_once(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, tmp_path: Path
    ) -> None:
        paths = [f"{tmp_path.name}_{number}.gcode" for number in range(2)]
        await bridge.kill()
        for path in paths:
            await by_hand.upload(octoprint, path, slow_gcode(SEEN_S))
            await by_hand.print_to_its_end(octoprint, path)
            await by_hand.unselect(octoprint, path)
        waiting = await cloud.add_job(slow_gcode(0.3))
        await bridge.start()
        await holds_the_bed(cloud, waiting, *paths)


class TestWhileOctoPrintIsOutOfReach:
    async def test_the_same_file_printed_again_holds_the_bed(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path: Path
    ) -> None:
        path = f"{tmp_path.name}.gcode"
        await by_hand.upload(octoprint, path, slow_gcode(SEEN_S))
        async with (
            gate_to(octoprint.url) as gate,
            running_bridge(tmp_path, cloud_url=own_cloud.url, octoprint=octoprint, octoprint_url=gate.url),
        ):
            await own_cloud.until(lambda: own_cloud.now.get("state") == "idle")
            await by_hand.print_to_its_end(octoprint, path)
            await own_cloud.until(lambda: len(own_cloud.foreign_prints) == 2)  # its start and its end
            await own_cloud.clear_bed()
            await own_cloud.until(lambda: own_cloud.now.get("state") == "idle")
            await own_cloud.until_claims()
            own_cloud.foreign_prints.clear()
            await gate.shut()
            await by_hand.start(octoprint, path)
            await by_hand.until_counted(octoprint, path, 2, 0)
            waiting = await own_cloud.add_job(slow_gcode(0.3))
            await asyncio.sleep(BLIND_S)
            await gate.open()
            await own_cloud.until(lambda: own_cloud.foreign_prints)
            await own_cloud.until_claims()
            assert (own_cloud.foreign_prints, own_cloud.beds[own_cloud.printer_id]) == ([path], "occupied")
            assert octoprint.starts(waiting.path) == 0  # it may have been claimed, and given back
