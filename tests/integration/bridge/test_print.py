"""A print from the doorbell to its outcome, on the real OctoPrint."""

import asyncio
import hashlib

import pytest

from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode


class TestPrint:
    async def test_prints_once_and_reports_each_step(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        assert await octoprint.successes_and_failures(attempt.path) == (1, 0)
        assert octoprint.starts(attempt.path) == 1

    async def test_a_print_of_an_instant_is_a_success_too(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(b"G21\nG1 X1 F6000\n")
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1

    async def test_nothing_is_pressed_before_the_permit(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        seen: list[tuple[int, str | None]] = []

        async def look() -> None:
            seen.append((octoprint.starts(attempt.path), await octoprint.state()))

        cloud.before_answer["permit"] = look
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")
        assert seen == [(0, "Operational")]

    async def test_the_next_job_waits_until_the_bed_is_clear(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        first = await cloud.add_job(slow_gcode(0.3))
        second = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(first, "completed")
        await cloud.until_claims()
        assert second.state == "queued"
        await cloud.clear_bed()
        await cloud.until_state(second, "completed")

    async def test_telemetry_shows_the_print(self, cloud: FakeCloud, bridge: BridgeProcess) -> None:
        attempt = await cloud.add_job(slow_gcode(3))
        await cloud.until(
            lambda: any(data["attempt_id"] == attempt.id and data["progress"] for data in cloud.telemetry)
        )
        await cloud.until_state(attempt, "completed")
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        shown = next(data for data in cloud.telemetry if data["attempt_id"] == attempt.id and data["progress"])
        assert (shown["connection"], shown["state"], shown["text"]) == ("online", "printing", "Printing")
        assert shown["attempt_id"] == attempt.id
        assert isinstance(shown["progress"], float)
        assert 0 < shown["progress"] <= 1
        assert set(shown["temperatures"]) >= {"tool0", "bed"}  # type: ignore[call-overload]

    async def test_a_file_that_arrives_broken_is_not_stored(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(1), sent=slow_gcode(1)[:-1] + b"?")
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "transfer_failed"
        assert await octoprint.file(attempt.path) is None

    async def test_faults_slow_the_next_claims_down(self, cloud: FakeCloud, bridge: BridgeProcess) -> None:
        clock = asyncio.get_running_loop().time
        cloud.beds[cloud.printer_id] = "occupied"
        broken = [await cloud.add_job(slow_gcode(1), sent=slow_gcode(1)[:-1] + b"?") for _ in range(3)]
        await cloud.clear_bed()
        await cloud.until_state(broken[0], "released")
        first = clock()
        for attempt in broken:
            await cloud.ring("work")
            await cloud.until_state(attempt, "released")
        assert clock() - first > 1  # at least 0.4 s and 0.8 s
        following = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(following, "completed")

    async def test_a_bridge_that_starts_asks_at_once(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        attempt = await own_cloud.add_job(slow_gcode(0.3))
        settings = {"BRIDGE_POLL_S": "300"}
        folder = tmp_path_factory.mktemp("starts")
        async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings):
            await own_cloud.until_state(attempt, "completed")

    async def test_a_download_that_breaks_off_goes_on_where_it_stopped(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        content = b"G21\n" + b"; a comment that makes the file longer\n" * 50_000
        attempt = await cloud.add_job(content, cut_at=1_000_000)
        await cloud.until_state(attempt, "completed")
        first, second = [int(call.removeprefix("file@")) for call in cloud.calls if call.startswith("file@")]
        assert first == 0
        assert 500_000 < second <= 1_000_000
        stored = await octoprint.file(attempt.path)
        assert stored is not None
        assert stored["hash"] == hashlib.sha1(content, usedforsecurity=False).hexdigest()
