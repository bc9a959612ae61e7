"""The next file is brought while the printer prints, and what nobody needs goes: on the real OctoPrint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import Attempt, FakeCloud
from support.gate import gate_to
from support.octoprint import copies_of, slow_gcode
from support.queue import eventually

UPLOAD = b"POST /api/files/local HTTP"


async def staged(octoprint: OctoPrint, content: bytes) -> str:
    """Where the content is, once it is there, once."""

    async def there() -> list[str]:
        return await copies_of(octoprint, content)

    found = await eventually(there, within_s=30)
    assert len(found) == 1
    return found[0]


async def until_gone(octoprint: OctoPrint, path: str) -> None:
    async def gone() -> bool:
        return await octoprint.file(path) is None

    await eventually(gone, within_s=30)


async def cancel_at_printer(cloud: FakeCloud, octoprint: OctoPrint, attempt: Attempt) -> None:
    await octoprint.call("POST", "/api/job", json_body={"command": "cancel"})
    await cloud.until_state(attempt, "cancelled")


async def waiting_for_its_bed(cloud: FakeCloud) -> None:
    """The printer is idle, and something lies on its bed."""
    cloud.beds[cloud.printer_id] = "occupied"


class TestStaging:
    async def test_the_next_file_comes_while_it_prints_and_starts_at_once(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        first = await cloud.add_job(slow_gcode(30, seed="first"))
        await cloud.until_state(first, "printing")
        content = slow_gcode(0.3, seed="staged")
        second = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        job = await octoprint.job()
        assert (job["state"], job["job"]["file"]["path"]) == ("Printing", first.path)  # type: ignore[index]
        assert octoprint.starts(path) == 0

        await cancel_at_printer(cloud, octoprint, first)
        cloud.calls.clear()
        await cloud.clear_bed()
        await cloud.until_state(second, "completed")
        assert second.path == path
        assert not [call for call in cloud.calls if call.startswith("file@")]
        assert await copies_of(octoprint, content) == [path]
        assert octoprint.starts(path) == 1
        assert await octoprint.successes_and_failures(path) == (1, 0)

    async def test_it_comes_while_the_printer_waits_for_its_bed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.3, seed="waits for the bed")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert (attempt.path, octoprint.starts(path)) == (path, 1)

    async def test_claimed_work_goes_before_a_download_ahead_of_time(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def stall() -> None:
            reached.set()
            await go_on.wait()

        await waiting_for_its_bed(cloud)
        cloud.before_answer["ahead"] = stall
        attempt = await cloud.add_job(slow_gcode(0.3, seed="hurry"))
        try:
            await asyncio.wait_for(reached.wait(), 20)
            await cloud.clear_bed()
            await cloud.until_state(attempt, "completed")
        finally:
            go_on.set()
        assert octoprint.starts(attempt.path) == 1

    async def test_it_goes_on_with_a_download_that_was_broken_off_in_the_middle(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.3, seed="the middle") + 80_000 * b"; the middle of a long file\n"
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
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.3, seed="found again")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        await bridge.restart()
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert (attempt.path, octoprint.starts(path)) == (path, 1)

    async def test_one_whose_id_an_attempt_has_had_is_removed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.3, seed="restored journal")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        cloud.used_ids.add(path.rpartition("/")[2].removesuffix(".gcode"))
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert attempt.path != path
        await until_gone(octoprint, path)


class TestKilledWhileStaging:
    async def test_in_the_download_it_is_brought_under_another_id(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def kill_once() -> None:
            cloud.before_answer.clear()
            await bridge.restart()

        await waiting_for_its_bed(cloud)
        cloud.before_answer["ahead"] = kill_once
        content = slow_gcode(0.3, seed="killed in the download")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert (attempt.path, octoprint.starts(path)) == (path, 1)

    async def test_an_upload_whose_answer_was_lost_is_removed_and_made_again(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("killed")
        async with (
            gate_to(octoprint.url) as gate,
            running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, octoprint_url=gate.url) as bridge,
        ):
            await waiting_for_its_bed(own_cloud)
            hold = gate.hold_answer(UPLOAD)
            content = slow_gcode(0.3, seed="killed in the upload")
            attempt = await own_cloud.add_job(content)
            await asyncio.wait_for(hold.caught.wait(), 30)
            cut = await staged(octoprint, content)
            await bridge.restart()
            await until_gone(octoprint, cut)
            path = await staged(octoprint, content)
            assert path != cut
            await own_cloud.clear_bed()
            await own_cloud.until_state(attempt, "completed")
            assert (attempt.path, octoprint.starts(path), octoprint.starts(cut)) == (path, 1, 0)


class TestStagedFileIsHarmed:
    async def test_one_that_was_deleted_by_hand_is_transferred_as_ever(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.3, seed="deleted by hand")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        (await octoprint.call("DELETE", f"/api/files/local/{path}")).raise_for_status()
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert (attempt.path, octoprint.starts(path)) == (path, 1)

    async def test_one_that_was_cut_is_not_started(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.5, seed="cut")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        _cut(octoprint, path)
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
        await waiting_for_its_bed(cloud)
        content = slow_gcode(0.5, seed="harmed")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        _cut(octoprint, path)
        await cloud.ring("work")
        await until_gone(octoprint, path)
        assert await staged(octoprint, content) != path
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")

    async def test_one_that_somebody_prints_by_hand_is_foreign_and_left_alone(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content = slow_gcode(2, seed="printed by hand")
        attempt = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        body = {"command": "select", "print": True}
        (await octoprint.call("POST", f"/api/files/local/{path}", json_body=body)).raise_for_status()
        await cloud.until(lambda: cloud.foreign_prints)
        await cloud.clear_bed()  # too early
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await cloud.until(lambda: len(cloud.foreign_prints) == 2)
        assert attempt.state == "queued"
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert attempt.path != path
        assert await octoprint.successes_and_failures(path) == (1, 0)


class TestNotWanted:
    async def test_the_file_of_a_cancelled_job_goes(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        first = await cloud.add_job(slow_gcode(30, seed="goes on"))
        await cloud.until_state(first, "printing")
        content = slow_gcode(0.3, seed="cancelled")
        second = await cloud.add_job(content)
        path = await staged(octoprint, content)
        second.state = "cancelled"
        await cloud.ring("work")
        await until_gone(octoprint, path)
        assert (await octoprint.job())["state"] == "Printing"
        assert octoprint.starts(path) == 0
        await cancel_at_printer(cloud, octoprint, first)

    async def test_a_more_urgent_one_takes_its_place_also_after_a_restart(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await waiting_for_its_bed(cloud)
        content, urgent_content = slow_gcode(0.3, seed="not now"), slow_gcode(0.3, seed="urgent")
        later = await cloud.add_job(content)
        path = await staged(octoprint, content)
        await bridge.until_logged('"staged"')
        await bridge.kill()
        urgent = await cloud.add_job(urgent_content, priority=90)
        await bridge.start()
        await until_gone(octoprint, path)
        await staged(octoprint, urgent_content)
        await cloud.clear_bed()
        await cloud.until_state(urgent, "completed")
        assert later.state == "queued"

    async def test_without_the_permission_it_stays_and_work_goes_on(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        async with without_permission(octoprint, "FILES_DELETE"):
            folder = tmp_path_factory.mktemp("no-delete")
            async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint) as bridge:
                await waiting_for_its_bed(own_cloud)
                content = slow_gcode(0.3, seed="stays")
                unwanted = await own_cloud.add_job(content)
                path = await staged(octoprint, content)
                unwanted.state = "cancelled"
                wanted_content = slow_gcode(0.3, seed="comes beside it")
                wanted = await own_cloud.add_job(wanted_content)
                await staged(octoprint, wanted_content)
                await own_cloud.clear_bed()
                await own_cloud.until_state(wanted, "completed")
                assert await octoprint.file(path) is not None
                assert bridge.log.read_text().count("octoprint_files_stay") == 1


class TestPruning:
    async def test_what_is_old_goes_and_what_is_needed_or_not_ours_stays(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        old, printed = show("attempt", new_id()), show("attempt", new_id())
        paths = {
            "left over": f"fluxprint/2026-01/{old}.gcode",
            "older": f"fluxprint/2025-12/{old}.gcode",
            "of a person": "fluxprint/2026-01/mine.gcode",
            "printed by nobody known": f"fluxprint/2026-01/{printed}.gcode",
            "elsewhere": f"elsewhere/{old}.gcode",
            "last": f"fluxprint/2099-01/{old}.gcode",  # months are gone through in order
        }
        for path in paths.values():
            await put(octoprint, path)
        await print_by_hand(octoprint, paths["printed by nobody known"])
        folder = tmp_path_factory.mktemp("pruning")
        settings = {"BRIDGE_KEEP_FILES_DAYS": "0"}
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings):
            ended = await own_cloud.add_job(slow_gcode(0.3, seed="ended"))
            await own_cloud.until_state(ended, "completed")
            live = await own_cloud.add_job(slow_gcode(30, seed="live"))
            await own_cloud.clear_bed()
            await own_cloud.until_state(live, "printing")
            content = slow_gcode(1, seed="kept on the shelf")
            await own_cloud.add_job(content)
            shelved = await staged(octoprint, content)
            for path in (ended.path, paths["left over"], paths["older"], paths["last"]):
                await until_gone(octoprint, path)
            stay = paths["of a person"], paths["elsewhere"], paths["printed by nobody known"]
            for path in (live.path, shelved, *stay):
                assert await octoprint.file(path) is not None, path
            assert (await octoprint.job())["state"] == "Printing"
            await cancel_at_printer(own_cloud, octoprint, live)

    async def test_an_empty_month_stays_while_something_prints(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """Removing a folder lets OctoPrint go on with its analysis of files, beside the print."""
        empty, last = "fluxprint/2025-09", f"fluxprint/2099-02/{show('attempt', new_id())}.gcode"
        for path in (f"{empty}/x.gcode", last):
            await put(octoprint, path)
        (await octoprint.call("DELETE", f"/api/files/local/{empty}/x.gcode")).raise_for_status()
        live = await own_cloud.add_job(slow_gcode(60, seed="beside a month"))
        folder = tmp_path_factory.mktemp("beside")
        settings = {"BRIDGE_KEEP_FILES_DAYS": "0"}
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings):
            await own_cloud.until_state(live, "printing")
            await until_gone(octoprint, last)  # months are gone through in order
            assert await octoprint.file(empty) is not None
            await cancel_at_printer(own_cloud, octoprint, live)

    async def test_what_is_young_stays(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        young, empty = f"fluxprint/2025-10/{show('attempt', new_id())}.gcode", "fluxprint/2025-11/x.gcode"
        for path in (young, empty):
            await put(octoprint, path)
        (await octoprint.call("DELETE", f"/api/files/local/{empty}")).raise_for_status()
        folder = tmp_path_factory.mktemp("young")
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint):
            await until_gone(octoprint, "fluxprint/2025-11")  # months are gone through in order
            assert await octoprint.file(young) is not None


async def put(octoprint: OctoPrint, path: str) -> None:
    """A file that somebody else put there."""
    folder, _, name = path.rpartition("/")
    async with httpx.AsyncClient(base_url=octoprint.url, headers={"X-Api-Key": octoprint.keys.admin}) as http:
        files = {"file": (name, slow_gcode(0.1))}
        (await http.post("/api/files/local", data={"path": folder}, files=files)).raise_for_status()


async def print_by_hand(octoprint: OctoPrint, path: str) -> None:
    """To its end, and then nothing is selected."""

    async def select(command: str, **more: object) -> None:
        body = {"command": command, **more}
        (await octoprint.call("POST", f"/api/files/local/{path}", json_body=body)).raise_for_status()

    async def is_over() -> bool:
        return await octoprint.successes_and_failures(path) == (1, 0) and await octoprint.state() == "Operational"

    await select("select", print=True)
    await eventually(is_over, within_s=20)
    await select("unselect")


@asynccontextmanager
async def without_permission(octoprint: OctoPrint, missing: str) -> AsyncIterator[None]:
    async def permit(permissions: set[str]) -> None:
        body = {"active": True, "permissions": sorted(permissions), "groups": []}
        (await octoprint.call("PUT", "/api/access/users/bridge", json_body=body)).raise_for_status()

    await permit(set(BRIDGE_PERMISSIONS) - {missing})
    try:
        yield
    finally:
        await permit(set(BRIDGE_PERMISSIONS))


def _cut(octoprint: OctoPrint, path: str) -> None:
    """What a kill of OctoPrint leaves while it copies from another file system: half of the bytes."""
    file = octoprint.folder / "uploads" / path
    half = file.with_suffix(".half")
    half.write_bytes(file.read_bytes()[:100])
    half.replace(file)
