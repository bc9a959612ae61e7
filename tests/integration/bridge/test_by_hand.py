"""People print beside FluxPrint, also what it has brought for later; and an OctoPrint says odd things about it."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import Attempt, FakeCloud, Refusal
from support.octoprint import slow_gcode
from support.odd_octoprint import OddOctoPrint, running_odd_octoprint
from support.staging import staged_for_its_bed


class TestStagedFilePrintedUnseen:
    """Its part lies on the bed although the queue was told that it is clear, and no attempt explains it."""

    @pytest.mark.parametrize("selected", [True, False], ids=["still selected", "not selected"])
    async def test_another_job_does_not_start_on_its_part(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, selected: bool
    ) -> None:
        _, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await bridge.until_logged('"staged"')
        await bridge.kill()
        await by_hand.print_to_its_end(octoprint, path)
        if not selected:
            await by_hand.unselect(octoprint, path)
        cloud.beds[cloud.printer_id] = "clear"
        other = await cloud.add_job(slow_gcode(0.3), priority=90)
        await bridge.start()
        await cloud.until(lambda: path in cloud.foreign_prints)
        await cloud.until_claims()
        assert (octoprint.starts(other.path), cloud.beds[cloud.printer_id]) == (0, "occupied")
        await cloud.clear_bed()
        await cloud.until_state(cloud.attempts[other.id], "completed")
        assert cloud.foreign_prints == [path]
        assert await octoprint.file(path) is not None

    async def test_it_is_told_also_when_nobody_wants_it_any_more(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        _, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await bridge.until_logged('"staged"')
        await bridge.kill()
        await by_hand.print_to_its_end(octoprint, path)
        cloud.reset()  # its job is cancelled
        await bridge.start()
        await cloud.until(lambda: path in cloud.foreign_prints)
        assert cloud.beds[cloud.printer_id] == "occupied"
        assert await octoprint.file(path) is not None


class TestOldPrintStartedAgain:
    """OctoPrint still shows the last print, of which this journal knows nothing: somebody starts it once more."""

    @pytest.fixture
    async def last(self, cloud: FakeCloud, bridge: BridgeProcess) -> Attempt:
        last = await cloud.add_job(slow_gcode(2))
        await cloud.until_state(last, "completed")
        await bridge.kill()
        bridge.lose_journal()
        cloud.beds[cloud.printer_id] = "clear"
        return last

    async def test_its_part_is_seen_although_it_ends_during_a_transfer(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, last: Attempt
    ) -> None:
        await bridge.start()
        await cloud.until_claims(1)
        transfer, before = cloud.hold("file"), len(cloud.calls)
        job = await cloud.add_job(slow_gcode(0.4))
        await cloud.until(lambda: any(call.startswith("file@") for call in cloud.calls[before:]))
        await self._again(octoprint, last)
        transfer.release()
        await self._is_told(cloud, octoprint, last, job)

    @pytest.mark.parametrize("answered", [True, False], ids=["answered before", "never answered"])
    async def test_its_part_is_seen_although_it_ends_before_the_queue_is_asked(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, last: Attempt, answered: bool
    ) -> None:
        if answered:
            await bridge.start()
            await cloud.until_claims(3)
        claim = cloud.hold("claim")
        if not answered:
            await bridge.start()
        await cloud.until_claims(1)
        await self._again(octoprint, last)
        job = await cloud.add_job(slow_gcode(0.4))
        claim.release()
        cloud.before_answer.clear()
        await self._is_told(cloud, octoprint, last, job)

    async def _again(self, octoprint: OctoPrint, last: Attempt) -> None:
        await by_hand.start(octoprint, last.path)
        await by_hand.until_counted(octoprint, last.path, 2, 0)
        await by_hand.until_operational(octoprint)

    async def _is_told(self, cloud: FakeCloud, octoprint: OctoPrint, last: Attempt, job: Attempt) -> None:
        await cloud.until(lambda: last.path in cloud.foreign_prints)
        await cloud.until_claims()
        assert (octoprint.starts(job.path), cloud.beds[cloud.printer_id]) == (0, "occupied")


class TestPermitAskedAgain:
    async def test_a_print_before_it_is_no_reason_to_give_it_up(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
        await bridge.until_logged('"staged"')
        await by_hand.print_to_its_end(octoprint, path)
        await cloud.until(lambda: len(cloud.foreign_prints) == 2)
        go_on = asyncio.Event()

        async def lose_the_lease() -> None:
            cloud.before_answer = {"lease": go_on.wait}
            await go_on.wait()

        cloud.lease_s = 2.0
        cloud.before_answer["permit"] = lose_the_lease
        bridge.forget_log()
        try:
            await cloud.clear_bed()
            await bridge.until_logged("lease_lost")
        finally:
            cloud.lease_s = 30.0
            cloud.before_answer.clear()
            go_on.set()
        await cloud.until_state(attempt, "completed")
        assert len(cloud.foreign_prints) == 2

    async def test_refused_for_the_bed_it_is_given_back(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The bridge is killed before it has the permit, and the queue hears of another print before it asks again."""

        def refuse(_attempt: Attempt, _journal_id: str) -> None:
            raise Refusal(409, "bed_occupied")

        async def hear_of_another_print() -> None:
            monkeypatch.setattr(cloud, "permit", refuse)
            await bridge.restart()

        cloud.once("permit", hear_of_another_print)
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "bed_occupied"
        assert octoprint.starts(attempt.path) == 0


class TestGivenBack:
    async def test_work_that_comes_to_no_start_is_claimed_ever_less_often(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        released_at: list[float] = []

        async def once_more() -> None:
            released_at.append(time.monotonic())
            attempt = await cloud.add_job(slow_gcode(0.1))
            attempt.job_cancelled = True

        cloud.before_answer["report:released"] = once_more
        (await cloud.add_job(slow_gcode(0.1))).job_cancelled = True
        await cloud.until(lambda: len(released_at) == 6)
        cloud.before_answer.clear()
        assert released_at[5] - released_at[4] > 1.5
        cloud.reset()
        wanted = await cloud.add_job(slow_gcode(0.1))
        await cloud.until_state(wanted, "completed")


@pytest.fixture
async def odd() -> AsyncIterator[OddOctoPrint]:
    async with running_odd_octoprint() as octoprint:
        yield octoprint


@pytest.fixture
async def odd_bridge(own_cloud: FakeCloud, odd: OddOctoPrint, tmp_path: Path) -> AsyncIterator[BridgeProcess]:
    address = {"OCTOPRINT_URL": odd.url, "OCTOPRINT_API_KEY": "odd-key-of-a-test"}
    async with running_bridge(tmp_path, cloud_url=own_cloud.url, octoprint=None, settings=address) as bridge:
        await own_cloud.until(lambda: own_cloud.links and own_cloud.now.get("state") == "idle")
        yield bridge


class TestOddOctoPrint:
    async def test_a_print_without_a_file_is_foreign(
        self, own_cloud: FakeCloud, odd: OddOctoPrint, odd_bridge: BridgeProcess
    ) -> None:
        """The push socket goes on saying that the printer is idle."""
        odd.state = "Printing"
        attempt = await own_cloud.add_job(slow_gcode(0.3))
        await own_cloud.until(lambda: own_cloud.foreign_prints)
        assert own_cloud.foreign_prints == ["unknown"]
        await own_cloud.until_state(attempt, "queued", "released")

    async def test_prints_that_start_without_end_are_told_once_a_second(
        self, own_cloud: FakeCloud, odd: OddOctoPrint, odd_bridge: BridgeProcess
    ) -> None:
        odd.starts_without_end = True
        await own_cloud.until(lambda: own_cloud.foreign_prints)
        began_at = time.monotonic()
        await own_cloud.until(lambda: len(own_cloud.foreign_prints) >= 4)
        assert time.monotonic() - began_at > 2.5
        before = int(own_cloud.foreign_prints[0].removesuffix(".gcode"))
        assert int(own_cloud.foreign_prints[-1].removesuffix(".gcode")) > before + 3  # the newest, not the next
