"""The bridge is killed with -9 wherever it hurts: nothing starts twice, and the outcome arrives all the same."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, printed_unwatched, running_bridge
from support.fake_cloud import Attempt, FakeCloud
from support.gate import Gate, Hold, gate_to
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


async def caught(hold: Hold, cloud: FakeCloud, *, seconds: float) -> Attempt:
    """Something whose start was pressed and stopped on its way."""
    attempt = await cloud.add_job(slow_gcode(seconds))
    await hold.caught.wait()
    return attempt


class TestKilledBeforeTheStart:
    async def test_while_it_transfers(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        cloud.once("file", bridge.restart)
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
        cloud.once("permit", bridge.restart)
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        assert cloud.calls.count("permit") == 2
        await assert_printed_once(octoprint, attempt)

    async def test_and_its_journal_is_older_than_the_print(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async def print_behind_its_back() -> None:
            await bridge.kill()
            await by_hand.start(octoprint, attempt.path)
            await by_hand.until_counted(octoprint, attempt.path, 1, 0)
            await bridge.start()

        cloud.once("permit", print_behind_its_back)
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    async def test_and_its_journal_is_lost(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        async def lose_everything() -> None:
            await bridge.kill()
            bridge.lose_journal()
            await bridge.start()

        cloud.once("file", lose_everything)
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "journal_lost"
        assert octoprint.starts(attempt.path) == 0


class TestKilledAtTheStart:
    async def test_a_request_that_never_arrived_is_unknown_and_not_repeated(
        self, own_cloud: FakeCloud, gated_bridge: BridgeProcess, gate: Gate, octoprint: OctoPrint
    ) -> None:
        hold = gate.hold_request(START_REQUEST)
        attempt = await caught(hold, own_cloud, seconds=0.5)
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
        attempt = await caught(hold, own_cloud, seconds=6)
        assert gated_bridge.journal_states()[attempt.id] == "starting"
        await gated_bridge.restart()
        await own_cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        await assert_printed_once(octoprint, attempt)

    async def test_a_cut_answer_without_a_kill_is_adopted(
        self, own_cloud: FakeCloud, gated_bridge: BridgeProcess, gate: Gate, octoprint: OctoPrint
    ) -> None:
        hold = gate.hold_answer(START_REQUEST)
        attempt = await caught(hold, own_cloud, seconds=2)
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
        attempt = await cloud.printing(slow_gcode(3))
        await bridge.restart()
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        await assert_printed_once(octoprint, attempt)

    async def test_a_print_that_ended_meanwhile_is_known_by_its_history(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await printed_unwatched(cloud, bridge, octoprint)
        await bridge.start()
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)

    async def test_a_lost_journal_adopts_the_print(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(4))
        await bridge.kill()
        bridge.lose_journal()
        await bridge.start()
        await cloud.until_state(attempt, "completed")
        await assert_printed_once(octoprint, attempt)
        assert not cloud.foreign_prints
