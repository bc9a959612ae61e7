"""OctoPrint, its printer or its users do what they want."""

import asyncio

import httpx
import pytest

from fluxprint_common.ids import new_id, show
from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import FakeCloud
from support.octoprint import slow_gcode


async def upload(octoprint: OctoPrint, name: str, content: bytes, *, start: bool, folder: str = "") -> None:
    """A person puts a file into OctoPrint by hand."""
    async with httpx.AsyncClient(base_url=octoprint.url, headers={"X-Api-Key": octoprint.keys.admin}) as http:
        response = await http.post(
            "/api/files/local", data={"print": str(start).lower(), "path": folder}, files={"file": (name, content)}
        )
    assert response.json()["effectivePrint"] is start


class TestPrinterTrouble:
    async def test_an_error_while_printing_is_a_failure_and_the_next_job_waits(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(20))
        await cloud.until_state(attempt, "printing")
        await octoprint.debug("trigger_fatal_error_marlin")
        await cloud.until_state(attempt, "failed")
        assert attempt.reason == "octoprint_error"
        assert attempt.detail
        await cloud.until(lambda: cloud.now.get("connection") == "printer_offline")
        assert cloud.now.get("state") == "error"
        assert cloud.now["error"]

        await cloud.clear_bed()
        waiting = await cloud.add_job(slow_gcode(0.3, seed="waits"))
        seen = len(cloud.telemetry)
        await cloud.until(lambda: len(cloud.telemetry) > seen)
        assert waiting.state == "queued"
        await octoprint.connect()
        await cloud.until_state(waiting, "completed")

    async def test_a_connection_that_is_lost_in_a_pause_is_a_failure(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(20))
        await cloud.until_state(attempt, "printing")
        await octoprint.call("POST", "/api/job", json_body={"command": "pause", "action": "pause"})
        await cloud.until_state(attempt, "paused")
        await octoprint.call("POST", "/api/connection", json_body={"command": "disconnect"})
        await cloud.until_state(attempt, "failed")
        assert attempt.reason == "printer_disconnected"

    async def test_a_printer_that_goes_offline_at_the_permit_is_waited_for(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def disconnect() -> None:
            cloud.before_answer.clear()
            await octoprint.call("POST", "/api/connection", json_body={"command": "disconnect"})

        cloud.before_answer["permit"] = disconnect
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
        attempt = await cloud.add_job(slow_gcode(30))
        await cloud.until_state(attempt, "printing")
        await octoprint.kill()
        await cloud.until(lambda: cloud.now.get("connection") == "octoprint_offline")
        assert attempt.state == "printing"
        await octoprint.start()
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "not_decidable"
        assert attempt.evidence["job"]["state"] == "idle"  # type: ignore[index]
        assert octoprint.starts(attempt.path) == 1

        # What happens to the printer later says nothing about that print.
        await octoprint.call("POST", "/api/connection", json_body={"command": "disconnect"})
        await cloud.until(lambda: cloud.now.get("connection") == "printer_offline")
        claims = cloud.calls.count("claim")
        await cloud.until(lambda: cloud.calls.count("claim") > claims + 1)
        assert attempt.state == "unknown"
        await octoprint.connect()

        # A person looks and decides; then the printer works on.
        attempt.state = "failed"
        await cloud.clear_bed()
        following = await cloud.add_job(slow_gcode(0.3, seed="following"))
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
        async def permit(*permissions: str) -> None:
            body = {"active": True, "permissions": list(permissions), "groups": []}
            (await octoprint.call("PUT", "/api/access/users/bridge", json_body=body)).raise_for_status()

        await permit(*(set(BRIDGE_PERMISSIONS) - {"PRINT"}))
        try:
            folder = tmp_path_factory.mktemp("permission")
            async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint) as bridge:
                attempt = await own_cloud.add_job(slow_gcode(0.3))
                await own_cloud.until(lambda: "'Print'" in str(own_cloud.now.get("error")))
                assert attempt.state == "queued"
                assert bridge.logged("octoprint_not_usable")
        finally:
            await permit(*BRIDGE_PERMISSIONS)


class TestBeforeThePermit:
    async def test_a_key_that_is_refused_gives_the_attempt_back_and_is_named(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        async def permit(*permissions: str) -> None:
            body = {"active": True, "permissions": list(permissions), "groups": []}
            (await octoprint.call("PUT", "/api/access/users/bridge", json_body=body)).raise_for_status()

        async def take_away() -> None:
            own_cloud.before_answer.clear()
            await permit(*(set(BRIDGE_PERMISSIONS) - {"STATUS"}))

        own_cloud.before_answer["file"] = take_away
        try:
            folder = tmp_path_factory.mktemp("key")
            async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint):
                attempt = await own_cloud.add_job(slow_gcode(0.3))
                await own_cloud.until_state(attempt, "released")
                assert attempt.reason == "octoprint_refused"
                assert "permit" not in own_cloud.calls
                following = await own_cloud.add_job(slow_gcode(0.3, seed="waits for the key"))
                await own_cloud.until(lambda: "API key" in str(own_cloud.now.get("error")))
                assert following.state == "queued"
        finally:
            await permit(*BRIDGE_PERMISSIONS)

    async def test_a_foreign_print_is_told_first(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        told = asyncio.Event()

        async def print_by_hand() -> None:
            cloud.before_answer = {"foreign": told.wait}
            await upload(octoprint, "in between.gcode", slow_gcode(0.3), start=True)
            async with asyncio.timeout(10):
                while await octoprint.successes_and_failures("in between.gcode") != (1, 0):
                    await asyncio.sleep(0.05)

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


class TestForeignPrint:
    async def test_a_file_that_only_looks_like_ours_is_foreign_and_nothing_is_claimed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """As of another FluxPrint's attempt: only the queue can say that this one is not its own."""
        name = show("attempt", new_id()) + ".gcode"
        await upload(octoprint, name, slow_gcode(4), folder="fluxprint/2026-11", start=True)
        await cloud.until(lambda: cloud.now.get("state") == "foreign")
        attempt = await cloud.add_job(slow_gcode(0.3))
        path = f"fluxprint/2026-11/{name}"
        await cloud.until(lambda: path in cloud.foreign_prints)
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        claims = cloud.calls.count("claim")
        await cloud.until(lambda: cloud.calls.count("claim") > claims + 1)
        assert (attempt.state, attempt.journal_id) == ("queued", None)
        await cloud.clear_bed()
        await cloud.until_state(attempt, "completed")
        assert await octoprint.successes_and_failures(path) == (1, 0)

    async def test_it_is_reported_and_left_alone(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await upload(octoprint, "by_hand.gcode", slow_gcode(2), start=True)
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
        await upload(octoprint, "early.gcode", slow_gcode(2), start=True)
        await cloud.until(lambda: cloud.foreign_prints)
        await cloud.clear_bed()
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until(lambda: len(cloud.foreign_prints) == 2)
        claims = cloud.calls.count("claim")
        await cloud.until(lambda: cloud.calls.count("claim") > claims)
        assert cloud.beds[cloud.printer_id] == "occupied"
        assert attempt.state == "queued"

    async def test_one_that_gets_in_between_permit_and_start_wins(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def start_another() -> None:
            cloud.before_answer.clear()
            await upload(octoprint, "faster.gcode", slow_gcode(2), start=True)

        cloud.before_answer["permit"] = start_another
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
        await upload(octoprint, "unseen.gcode", slow_gcode(0.3), start=True)
        async with asyncio.timeout(10):
            while await octoprint.successes_and_failures("unseen.gcode") != (1, 0):
                await asyncio.sleep(0.05)
        attempt = await cloud.add_job(slow_gcode(0.3))
        cloud.calls.clear()
        await bridge.start()
        await cloud.until(lambda: "claim" in cloud.calls)
        assert cloud.foreign_prints == ["unseen.gcode"]
        assert attempt.state == "queued"
        await bridge.restart()
        claims = cloud.calls.count("claim")
        await cloud.until(lambda: cloud.calls.count("claim") > claims)
        assert cloud.foreign_prints == ["unseen.gcode"]
