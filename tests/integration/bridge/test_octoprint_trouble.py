"""OctoPrint, its printer or its users do what they want."""

import asyncio
from pathlib import Path

import pytest
from fastapi import Response
from fastapi.responses import JSONResponse

from fluxprint_common.ids import new_id, show
from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support import by_hand
from support.before_octoprint import standing_before
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode


class TestPrinterTrouble:
    async def test_an_error_while_printing_is_a_failure_and_the_next_job_waits(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(20))
        await octoprint.debug("trigger_fatal_error_marlin")
        await cloud.until_state(attempt, "failed")
        assert attempt.reason == "octoprint_error"
        assert attempt.detail
        await cloud.until(lambda: cloud.now.get("connection") == "printer_offline")
        assert cloud.now.get("state") == "error"
        assert cloud.now["error"]

        await cloud.clear_bed()
        waiting = await cloud.add_job(slow_gcode(0.3))
        seen = len(cloud.telemetry)
        await cloud.until(lambda: len(cloud.telemetry) > seen)
        assert waiting.state == "queued"
        await octoprint.connect()
        await cloud.until_state(waiting, "completed")

    async def test_a_connection_that_is_lost_in_a_pause_is_a_failure(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(20))
        await by_hand.press(octoprint, "pause")
        await cloud.until_state(attempt, "paused")
        await by_hand.disconnect(octoprint)
        await cloud.until_state(attempt, "failed")
        assert attempt.reason == "printer_disconnected"

    async def test_a_printer_that_goes_offline_at_the_permit_is_waited_for(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.once("permit", lambda: by_hand.disconnect(octoprint))
        attempt = await cloud.add_job(slow_gcode(0.5))
        await bridge.until_logged("start_refused")
        assert attempt.state == "starting"
        await octoprint.connect()
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1


class TestOctoPrintTrouble:
    async def test_killed_while_printing_the_outcome_is_unknown(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        await octoprint.kill()
        await cloud.until(lambda: cloud.now.get("connection") == "octoprint_offline")
        assert attempt.state == "printing"
        await octoprint.start()
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "not_decidable"
        assert attempt.evidence["job"]["state"] == "idle"  # type: ignore[index]
        assert octoprint.starts(attempt.path) == 1

        # What happens to the printer later says nothing about that print.
        await by_hand.disconnect(octoprint)
        await cloud.until(lambda: cloud.now.get("connection") == "printer_offline")
        await cloud.until_claims()
        assert attempt.state == "unknown"
        await octoprint.connect()

        # A person looks and decides; then the printer works on.
        attempt.state = "failed"
        await cloud.clear_bed()
        following = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(following, "completed")

    async def test_nothing_is_claimed_while_it_is_off_or_boots(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await cloud.until(lambda: cloud.now.get("connection") == "online")
        await octoprint.kill()
        await cloud.until(lambda: cloud.now.get("connection") == "octoprint_offline")
        attempt = await cloud.add_job(slow_gcode(0.3))
        await octoprint.spawn()
        while await octoprint.state() != "Operational":
            assert attempt.state == "queued"
            await asyncio.sleep(0.05)
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1

    async def test_a_missing_permission_is_named_and_nothing_is_claimed(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        async with by_hand.bridge_may(octoprint, set(BRIDGE_PERMISSIONS) - {"PRINT"}):
            folder = tmp_path_factory.mktemp("permission")
            async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint) as bridge:
                attempt = await own_cloud.add_job(slow_gcode(0.3))
                await own_cloud.until(lambda: "'Print'" in str(own_cloud.now.get("error")))
                assert attempt.state == "queued"
                assert bridge.logged("octoprint_not_usable")


class TestBeforeThePermit:
    async def test_a_key_that_is_refused_gives_the_attempt_back_and_is_named(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        own_cloud.once("file", lambda: by_hand.permit(octoprint, set(BRIDGE_PERMISSIONS) - {"STATUS"}))
        async with by_hand.bridge_may(octoprint, BRIDGE_PERMISSIONS):
            folder = tmp_path_factory.mktemp("key")
            async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint):
                attempt = await own_cloud.add_job(slow_gcode(0.3))
                await own_cloud.until_state(attempt, "released")
                assert attempt.reason == "octoprint_refused"
                assert "permit" not in own_cloud.calls
                following = await own_cloud.add_job(slow_gcode(0.3))
                await own_cloud.until(lambda: "API key" in str(own_cloud.now.get("error")))
                assert following.state == "queued"

    async def test_a_foreign_print_is_told_first(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        told = asyncio.Event()

        async def print_by_hand() -> None:
            cloud.before_answer = {"foreign": told.wait}
            await by_hand.upload_and_start(octoprint, "in between.gcode", slow_gcode(0.3))
            await by_hand.until_counted(octoprint, "in between.gcode", 1, 0)

        cloud.before_answer["file"] = print_by_hand
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until(lambda: cloud.foreign_prints)
        seen = len(cloud.telemetry)
        await cloud.until(lambda: len(cloud.telemetry) > seen + 2)
        assert (attempt.state, "permit" in cloud.calls) == ("claimed", False)
        cloud.before_answer.clear()
        told.set()
        await cloud.until_state(attempt, "released")
        assert attempt.reason in {"bed_occupied", "printer_busy"}
        assert octoprint.starts(attempt.path) == 0


class TestProxy:
    @pytest.mark.parametrize(
        "refusal",
        [
            Response("<html>Request Timeout</html>", 408, media_type="text/html"),
            Response("<html>Forbidden</html>", 403, media_type="text/html"),
            JSONResponse({"error": "too many requests"}, 429),
        ],
        ids=["408", "403", "429"],
    )
    async def test_its_refusal_of_a_start_that_it_passed_on_proves_nothing(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path: Path, refusal: Response
    ) -> None:
        def refused(body: bytes) -> Response | None:
            return refusal if b'"select"' in body else None

        async with (
            standing_before(octoprint, afterwards=refused) as url,
            running_bridge(tmp_path, cloud_url=own_cloud.url, octoprint=octoprint, octoprint_url=url),
        ):
            attempt = await own_cloud.add_job(slow_gcode(0.5))
            await own_cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1
        assert await octoprint.successes_and_failures(attempt.path) == (1, 0)


class TestForeignPrint:
    async def test_a_file_that_only_looks_like_ours_is_foreign_and_nothing_is_claimed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """As of another FluxPrint's attempt: only the queue can say that this one is not its own."""
        path = f"fluxprint/2026-11/{show('attempt', new_id())}.gcode"
        await by_hand.upload_and_start(octoprint, path, slow_gcode(4))
        await cloud.until(lambda: cloud.now.get("state") == "foreign")
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until(lambda: path in cloud.foreign_prints)
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await cloud.until_claims()
        assert (attempt.state, attempt.journal_id) == ("queued", None)
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert await octoprint.successes_and_failures(path) == (1, 0)

    async def test_it_is_reported_and_left_alone(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await by_hand.upload_and_start(octoprint, "by_hand.gcode", slow_gcode(2))
        await cloud.until(lambda: cloud.foreign_prints)
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until(lambda: cloud.now.get("state") == "foreign")
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await cloud.until(lambda: cloud.foreign_prints == 2 * ["by_hand.gcode"])
        assert attempt.state == "queued"
        assert await octoprint.successes_and_failures("by_hand.gcode") == (1, 0)
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert cloud.foreign_prints == 2 * ["by_hand.gcode"]

    async def test_a_bed_that_was_confirmed_clear_too_early_is_occupied_at_its_end(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await by_hand.upload_and_start(octoprint, "early.gcode", slow_gcode(2))
        await cloud.until(lambda: cloud.foreign_prints)
        await cloud.clear_bed()
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until(lambda: len(cloud.foreign_prints) == 2)
        await cloud.until_claims(1)
        assert cloud.beds[cloud.printer_id] == "occupied"
        assert attempt.state == "queued"

    async def test_one_that_gets_in_between_permit_and_start_wins(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.once("permit", lambda: by_hand.upload_and_start(octoprint, "faster.gcode", slow_gcode(2)))
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "printer_busy"
        assert octoprint.starts(attempt.path) == 0
        await cloud.until(lambda: "faster.gcode" in cloud.foreign_prints)
        await cloud.until(lambda: cloud.foreign_prints.count("faster.gcode") == 2)  # its end is told, too

    async def test_one_that_ran_while_the_bridge_was_away_is_noticed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await bridge.kill()
        await by_hand.upload_and_start(octoprint, "unseen.gcode", slow_gcode(0.3))
        await by_hand.until_counted(octoprint, "unseen.gcode", 1, 0)
        attempt = await cloud.add_job(slow_gcode(0.3))
        cloud.calls.clear()
        await bridge.start()
        await cloud.until(lambda: "claim" in cloud.calls)
        assert cloud.foreign_prints == ["unseen.gcode"]
        assert attempt.state == "queued"
        await bridge.restart()
        await cloud.until_claims(1)
        assert cloud.foreign_prints == ["unseen.gcode"]
