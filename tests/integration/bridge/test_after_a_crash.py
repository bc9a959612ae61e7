"""The rows of the table in docs/protocol.md, "After a crash", that no other file tests."""

import asyncio

import pytest

from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, printed_unwatched
from support.fake_cloud import Attempt, FakeCloud, Refusal
from support.octoprint import gcode_with_a_long_end, rewrite_history, slow_gcode
from support.queue import eventually

READS_LOGS = (*BRIDGE_PERMISSIONS, "PLUGIN_LOGGING_MANAGE")
STOOD_STILL = 'Changing monitoring state from "Finishing" to "Operational"'


async def until_written(octoprint: OctoPrint, *texts: str) -> None:
    """Wait for these in the log, in this order."""

    async def written() -> bool:
        rest = octoprint.log.read_text()
        for text in texts:
            _, found, rest = rest.partition(text)
            if not found:
                return False
        return True

    await eventually(written, within_s=20)


async def _is(state: str, bridge: BridgeProcess, attempt: Attempt) -> bool:
    return bridge.journal_states().get(attempt.id) == state


async def _asked(asked: list[object]) -> bool:
    return bool(asked)


class TestIntentWritten:
    async def test_a_paused_print_is_adopted(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(2))
        await by_hand.press(octoprint, "pause")
        await cloud.until_state(attempt, "paused")
        await bridge.restart()
        await bridge.until_logged("octoprint_answers")
        await by_hand.press(octoprint, "resume")
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "paused", "resumed", "completed"]
        assert octoprint.starts(attempt.path) == 1

    async def test_a_cancel_meanwhile_is_known_by_the_history(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        await bridge.kill()
        await by_hand.press(octoprint, "cancel")
        await by_hand.until_counted(octoprint, attempt.path, 0, 1)
        await bridge.start()
        await cloud.until_state(attempt, "cancelled")

    async def test_an_error_meanwhile_is_known_by_the_history(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        await bridge.kill()
        await octoprint.debug("trigger_fatal_error_marlin")
        await by_hand.until_counted(octoprint, attempt.path, 0, 1)
        await bridge.start()
        await cloud.until_state(attempt, "failed")
        assert attempt.reason == "print_failed"

    async def test_a_file_that_is_gone_took_its_history_along(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(30))
        await bridge.kill()
        await by_hand.press(octoprint, "cancel")
        await by_hand.until_counted(octoprint, attempt.path, 0, 1)
        await by_hand.until_operational(octoprint)  # while it cancels, the file is in use
        await by_hand.delete(octoprint, attempt.path)
        await bridge.start()
        await cloud.until_state(attempt, "unknown")
        assert (attempt.reason, attempt.evidence["file"]) == ("not_decidable", None)
        assert "the file is gone from OctoPrint, and its history with it" in str(attempt.detail)


class TestJournalLost:
    async def test_a_print_that_ended_without_a_journal_is_known_by_its_history(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await printed_unwatched(cloud, bridge, octoprint)
        bridge.lose_journal()
        await bridge.start()
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1
        assert not cloud.foreign_prints

    async def test_what_nobody_remembers_is_unknown_also_where_the_printer_is_offline(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """An offline printer takes no work, so its bridge asks only whether an attempt lives."""
        attempt = await cloud.printing(slow_gcode(30))
        await by_hand.press(octoprint, "pause")
        await cloud.until_state(attempt, "paused")
        await bridge.kill()
        await by_hand.disconnect(octoprint)
        bridge.lose_journal()
        cloud.beds[cloud.printer_id] = "clear"
        waiting = await cloud.add_job(slow_gcode(0.3))
        await bridge.start()
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "not_decidable"
        attempt.state = "failed"  # a person decides
        await cloud.until_claims(1)
        assert waiting.state == "queued"
        await octoprint.connect()
        await cloud.until_state(waiting, "completed")


class TestFolderGone:
    """Somebody removes all that was printed in a month, or OctoPrint's SD card is another one."""

    async def test_what_nobody_can_say_any_more_is_unknown(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """OctoPrint answers 500 for a file in it, for good."""
        attempt = await printed_unwatched(cloud, bridge, octoprint)
        await by_hand.until_operational(octoprint)
        await by_hand.unselect(octoprint, attempt.path)
        await by_hand.delete(octoprint, attempt.path.rpartition("/")[0])
        await bridge.start()
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "not_decidable"
        assert "the file is gone from OctoPrint" in str(attempt.detail)


class TestAttemptEnded:
    async def test_its_print_goes_on_and_holds_the_bed_at_its_end(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(4))
        await bridge.kill()
        attempt.state = "failed"  # a person decided while the bridge was away, and took the bed for clear
        cloud.beds[cloud.printer_id] = "clear"
        waiting = await cloud.add_job(slow_gcode(0.3))
        await bridge.start()
        await by_hand.until_counted(octoprint, attempt.path, 1, 0)
        await cloud.until(lambda: attempt.path in cloud.foreign_prints)
        assert (waiting.state, cloud.beds[cloud.printer_id]) == ("queued", "occupied")
        await cloud.clear_bed()
        await cloud.until_state(waiting, "completed")

    async def test_an_end_that_is_refused_after_a_restart_holds_the_bed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The print is over and was looked at, and nothing of it is open, when the queue refuses to hear of it."""
        answer = cloud.report
        asked: list[object] = []

        def fail(_attempt: Attempt | None, body: dict[str, object]) -> None:
            asked.append(body["kind"])
            raise Refusal(503, "database_unavailable")

        attempt = await cloud.printing(slow_gcode(2))
        monkeypatch.setattr(cloud, "report", fail)
        await cloud.until(lambda: cloud.now.get("state") == "idle")
        await eventually(lambda: _is("ended", bridge, attempt), within_s=20)
        await bridge.restart()
        asked.clear()
        await cloud.until(lambda: cloud.links and cloud.now.get("state") == "idle")
        await eventually(lambda: _asked(asked), within_s=20)
        await asyncio.sleep(1)  # it has looked at OctoPrint and found nothing that is not ours
        attempt.state = "failed"  # a person decided, and took the bed for clear
        cloud.beds[cloud.printer_id] = "clear"
        waiting = await cloud.add_job(slow_gcode(0.3))
        monkeypatch.setattr(cloud, "report", answer)
        await cloud.until(lambda: cloud.foreign_prints)
        assert (waiting.state, cloud.beds[cloud.printer_id]) == ("queued", "occupied")
        await cloud.clear_bed()
        await cloud.until_state(waiting, "completed")


class TestPrintedAgainByHand:
    async def test_what_ended_and_was_printed_again_meanwhile_holds_the_bed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")
        await bridge.kill()
        await by_hand.start(octoprint, attempt.path)
        await by_hand.until_counted(octoprint, attempt.path, 2, 0)
        await by_hand.until_operational(octoprint)
        cloud.beds[cloud.printer_id] = "clear"
        waiting = await cloud.add_job(slow_gcode(0.3))
        await bridge.start()
        await cloud.until(lambda: attempt.path in cloud.foreign_prints)
        assert (waiting.state, cloud.beds[cloud.printer_id]) == ("queued", "occupied")
        await cloud.clear_bed()
        await cloud.until_state(waiting, "completed")
        assert cloud.foreign_prints == [attempt.path]


class TestOctoPrintsLog:
    """Its file of today is there for a bridge whose user may read it: a line proves, a missing one does not."""

    async def test_an_end_that_a_kill_took_from_the_history_is_found_there(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async with by_hand.bridge_may(octoprint, READS_LOGS):
            attempt = await cloud.printing(slow_gcode(2))
            await bridge.kill()
            await until_written(octoprint, f"Print job done - origin: local, path: {attempt.path},", STOOD_STILL)
            await octoprint.kill()
            rewrite_history(octoprint, attempt.path, [])
            await octoprint.start()
            await bridge.start()
            await cloud.until_state(attempt, "completed")
        assert attempt.evidence["octoprint_log"]["stood_still"] is True  # type: ignore[index]

    async def test_done_is_not_the_end_of_a_print_that_was_cut_off_while_it_finished(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async with by_hand.bridge_may(octoprint, READS_LOGS):
            attempt = await cloud.printing(gcode_with_a_long_end())
            await bridge.kill()
            await until_written(octoprint, f"Print job done - origin: local, path: {attempt.path},")
            assert await octoprint.state() == "Finishing"
            await octoprint.kill()
            rewrite_history(octoprint, attempt.path, [])
            await octoprint.start()
            await bridge.start()
            await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "lost_while_finishing"
        assert attempt.evidence["octoprint_log"]["end"] == "done"  # type: ignore[index]

    async def test_a_start_without_an_end_is_shown_to_the_person_who_decides(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        async with by_hand.bridge_may(octoprint, READS_LOGS):
            attempt = await cloud.printing(slow_gcode(30))
            await octoprint.kill()
            await octoprint.start()
            await cloud.until_state(attempt, "unknown")
        assert "octoprint.log: started at 20" in str(attempt.detail)
        assert "; OctoPrint itself was started anew at 20" in str(attempt.detail)
        trace = attempt.evidence["octoprint_log"]
        assert any(f"started - origin: local, path: {attempt.path}," in line for line in trace["lines"])  # type: ignore[index]
