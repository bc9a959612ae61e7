"""The bridge is killed with -9 wherever it hurts: nothing starts twice, and the outcome arrives all the same."""

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest

from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import Attempt, FakeCloud
from support.gate import Gate, gate_to
from support.octoprint import slow_gcode

START_REQUEST = b"POST /api/files/local/fluxprint/"


@pytest.fixture
async def gate(octoprint: OctoPrint) -> AsyncIterator[Gate]:
    """Between the bridge and OctoPrint."""
    async with gate_to(octoprint.url) as gate:
        yield gate


@pytest.fixture
async def gated_bridge(
    gate: Gate, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[BridgeProcess]:
    folder = tmp_path_factory.mktemp("gated")
    async with running_bridge(folder, cloud_url=own_cloud.url, octoprint=octoprint, octoprint_url=gate.url) as bridge:
        yield bridge


async def assert_printed_once(octoprint: OctoPrint, attempt: Attempt) -> None:
    assert octoprint.starts(attempt.path) == 1
    assert await octoprint.successes_and_failures(attempt.path) == (1, 0)


class TestKilledBeforeTheStart:
    async def test_while_it_transfers(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        async def kill_once() -> None:
            cloud.before_answer.clear()
            await bridge.restart()

        cloud.before_answer["file"] = kill_once
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    async def test_before_the_claim_is_in_its_journal(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def kill_if_given() -> None:
            if cloud.live() is not None:
                cloud.before_answer.clear()
                await bridge.restart()

        cloud.before_answer["claim"] = kill_if_given
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    async def test_when_the_permit_is_given_and_not_received(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def kill_once() -> None:
            cloud.before_answer.clear()
            await bridge.restart()

        cloud.before_answer["permit"] = kill_once
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        assert cloud.calls.count("permit") == 2
        await assert_printed_once(octoprint, attempt)

    async def test_and_its_journal_is_older_than_the_print(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def print_behind_its_back() -> None:
            cloud.before_answer.clear()
            await bridge.kill()
            body = {"command": "select", "print": True}
            await octoprint.call("POST", f"/api/files/local/{attempt.path}", json_body=body)
            async with asyncio.timeout(10):
                while await octoprint.successes_and_failures(attempt.path) != (1, 0):
                    await asyncio.sleep(0.05)
            await bridge.start()

        cloud.before_answer["permit"] = print_behind_its_back
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    async def test_and_its_journal_is_lost(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        async def lose_everything() -> None:
            cloud.before_answer.clear()
            await bridge.kill()
            shutil.rmtree(bridge.folder / "data")
            await bridge.start()

        cloud.before_answer["file"] = lose_everything
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "journal_lost"
        assert octoprint.starts(attempt.path) == 0


class TestKilledAtTheStart:
    async def test_a_request_that_never_arrived_is_unknown_and_not_repeated(
        self, own_cloud: FakeCloud, gated_bridge: BridgeProcess, gate: Gate, octoprint: OctoPrint
    ) -> None:
        hold = gate.hold_request(START_REQUEST)
        attempt = await own_cloud.add_job(slow_gcode(0.5))
        await hold.caught.wait()
        assert gated_bridge.journal_states()[attempt.id] == "starting"
        await gated_bridge.restart()
        await own_cloud.until_state(attempt, "unknown")
        assert attempt.reason == "not_decidable"
        assert attempt.evidence["job"]
        assert octoprint.starts(attempt.path) == 0

    async def test_a_request_whose_answer_was_lost_is_adopted(
        self, own_cloud: FakeCloud, gated_bridge: BridgeProcess, gate: Gate, octoprint: OctoPrint
    ) -> None:
        hold = gate.hold_answer(START_REQUEST)
        attempt = await own_cloud.add_job(slow_gcode(6))
        await hold.caught.wait()
        assert gated_bridge.journal_states()[attempt.id] == "starting"
        await gated_bridge.restart()
        await own_cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        await assert_printed_once(octoprint, attempt)

    async def test_a_cut_answer_without_a_kill_is_adopted(
        self, own_cloud: FakeCloud, gated_bridge: BridgeProcess, gate: Gate, octoprint: OctoPrint
    ) -> None:
        hold = gate.hold_answer(START_REQUEST)
        attempt = await own_cloud.add_job(slow_gcode(2))
        await hold.caught.wait()
        await gate.shut()
        await gated_bridge.until_logged("start_not_answered")
        await gate.open()
        await own_cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    @pytest.mark.parametrize("delay_s", [0.03, 0.06, 0.09, 0.13])
    async def test_at_any_moment(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, delay_s: float
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(0.3))
        await asyncio.sleep(delay_s)
        await bridge.restart()
        await cloud.until_state(attempt, "completed", "unknown")
        starts = octoprint.starts(attempt.path)
        assert starts == (1 if attempt.state == "completed" else 0)


class TestKilledWhilePrinting:
    async def test_it_goes_on_watching(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        attempt = await cloud.add_job(slow_gcode(3))
        await cloud.until_state(attempt, "printing")
        await bridge.restart()
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        await assert_printed_once(octoprint, attempt)

    async def test_a_print_that_ended_meanwhile_is_known_by_its_history(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "printing")
        await bridge.kill()
        async with asyncio.timeout(10):
            while await octoprint.successes_and_failures(attempt.path) != (1, 0):
                await asyncio.sleep(0.05)
        await bridge.start()
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    async def test_a_lost_journal_adopts_the_print(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(4))
        await cloud.until_state(attempt, "printing")
        await bridge.kill()
        shutil.rmtree(bridge.folder / "data")
        await bridge.start()
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)
        assert not cloud.foreign_prints
