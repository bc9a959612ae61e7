"""Old files of ours go from the real OctoPrint, and nothing else does."""

import time

import pytest

from fluxprint_bridge.journal import Journal, Step
from fluxprint_bridge.printer.pruning import MAX_PER_FOLDER
from fluxprint_common.ids import new_id, show
from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import running_bridge
from support.fake_cloud import FakeCloud
from support.octoprint import rewrite_history, slow_gcode
from support.staging import staged, until_gone


@pytest.fixture(autouse=True)
async def tidied(octoprint: OctoPrint) -> None:
    """Without what other tests left: the bridge goes through all of it, a few files a second."""
    answer = await octoprint.call("DELETE", "/api/files/local/fluxprint")
    assert answer.status_code in (204, 404)


class TestPruning:
    async def test_what_is_old_goes_and_what_is_needed_or_not_ours_stays(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        old, printed, long_ago = (show("attempt", new_id()) for _ in range(3))
        paths = {
            "left over": f"fluxprint/2026-01/{old}.gcode",
            "older": f"fluxprint/2025-12/{old}.gcode",
            "of a person": "fluxprint/2026-01/mine.gcode",
            "printed by nobody known": f"fluxprint/2026-01/{printed}.gcode",
            "printed long ago": f"fluxprint/2026-01/{long_ago}.gcode",
            "elsewhere": f"elsewhere/{old}.gcode",
            "last": f"fluxprint/2099-01/{old}.gcode",  # months are gone through in order
        }
        for path in paths.values():
            await by_hand.upload(octoprint, path, slow_gcode(0.1))
        await by_hand.print_to_its_end(octoprint, paths["printed by nobody known"])
        await by_hand.unselect(octoprint, paths["printed by nobody known"])
        await octoprint.kill()
        month_ago = {"timestamp": time.time() - 31 * 86_400, "printTime": 2.0, "success": True}
        rewrite_history(octoprint, paths["printed long ago"], [{**month_ago, "printerProfile": "_default"}])
        await octoprint.start()
        folder = tmp_path_factory.mktemp("pruning")
        settings = {"BRIDGE_KEEP_FILES_DAYS": "0"}
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings):
            ended = await own_cloud.add_job(slow_gcode(0.3))
            await own_cloud.until_state(ended, "completed")
            await own_cloud.clear_bed()
            live = await own_cloud.printing(slow_gcode(30))
            content = slow_gcode(1)
            await own_cloud.add_job(content)
            shelved = await staged(octoprint, content)
            gone = paths["left over"], paths["older"], paths["printed long ago"], paths["last"]
            for path in (ended.path, *gone):
                await until_gone(octoprint, path)
            stay = paths["of a person"], paths["elsewhere"], paths["printed by nobody known"]
            for path in (live.path, shelved, *stay):
                assert await octoprint.file(path) is not None, path
            assert (await octoprint.job())["state"] == "Printing"
            await by_hand.press(octoprint, "cancel")
            await own_cloud.until_state(live, "cancelled")

    async def test_a_month_keeps_its_newest_200(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """However young: OctoPrint slows down with the number of files in a folder."""
        folder, month = tmp_path_factory.mktemp("full"), "fluxprint/2098-01"
        attempts = [show("attempt", new_id()) for _ in range(MAX_PER_FOLDER + 2)]
        paths = [f"{month}/{attempt}.gcode" for attempt in attempts]
        (octoprint.folder / "uploads" / month).mkdir(parents=True)
        async with Journal(folder / "data") as journal:
            for number, path in enumerate(paths):
                (octoprint.folder / "uploads" / path).write_bytes(slow_gcode(0.1))
                await journal.hold(
                    attempt_id=attempts[number], printer_id=own_cloud.printer_id, fence=1, path=path,
                    state=Step.ENDED, shown="completed",
                )  # fmt: skip
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint):
            for path in paths[:2]:
                await until_gone(octoprint, path)
        assert len(list((octoprint.folder / "uploads" / month).glob("*.gcode"))) == MAX_PER_FOLDER

    async def test_an_empty_month_stays_while_something_prints(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Removing a folder lets OctoPrint go on with its analysis of files, beside the print."""
        empty, last = "fluxprint/2025-09", f"fluxprint/2099-02/{show('attempt', new_id())}.gcode"
        for path in (f"{empty}/x.gcode", last):
            await by_hand.upload(octoprint, path, slow_gcode(0.1))
        await by_hand.delete(octoprint, f"{empty}/x.gcode")
        live = await own_cloud.add_job(slow_gcode(60))
        folder = tmp_path_factory.mktemp("beside")
        settings = {"BRIDGE_KEEP_FILES_DAYS": "0"}
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings):
            await own_cloud.until_state(live, "printing")
            await until_gone(octoprint, last)  # months are gone through in order
            assert await octoprint.file(empty) is not None
            await by_hand.press(octoprint, "cancel")
            await own_cloud.until_state(live, "cancelled")

    async def test_what_is_young_stays(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        young, empty = f"fluxprint/2025-10/{show('attempt', new_id())}.gcode", "fluxprint/2025-11/x.gcode"
        for path in (young, empty):
            await by_hand.upload(octoprint, path, slow_gcode(0.1))
        await by_hand.delete(octoprint, empty)
        folder = tmp_path_factory.mktemp("young")
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint):
            await until_gone(octoprint, "fluxprint/2025-11")  # months are gone through in order
            assert await octoprint.file(young) is not None
