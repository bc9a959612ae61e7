"""OctoPrint's traps, one class each: what it says, and what that must not be taken for.

On the real OctoPrint. Where it can't be made to do something at will, the test says what it did instead.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxprint_bridge.octoprint import client as octoprint_client
from fluxprint_bridge.octoprint.errors import NotSent, Unavailable
from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import Attempt, FakeCloud, Refusal
from support.octoprint import client_of, gcode_with_a_long_end, rewrite_history, running_octoprint, slow_gcode
from support.queue import eventually


async def stop_and_tell(octoprint: OctoPrint, cloud: FakeCloud, path: str) -> None:
    """Somebody stops a print that is not ours, and the cloud hears of its end as it heard of its start."""
    await cloud.until(lambda: path in cloud.foreign_prints)
    told = cloud.foreign_prints.count(path)
    await by_hand.press(octoprint, "cancel")
    await cloud.until(lambda: cloud.foreign_prints.count(path) > told)


async def finishing(octoprint: OctoPrint, cloud: FakeCloud) -> Attempt:
    """A print whose last line was sent, and which OctoPrint counts as a success, while the printer still moves."""
    attempt = await cloud.add_job(gcode_with_a_long_end())
    await by_hand.until_counted(octoprint, attempt.path, 1, 0)
    assert await octoprint.state() == "Finishing"
    return attempt


class TestEffectivePrintFalse:
    async def test_a_busy_printer_takes_a_file_and_says_created(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """201 means stored: here somebody's print is on, and nothing of ours starts, now or later."""

        async def start_another() -> None:
            await by_hand.upload_and_start(octoprint, "first.gcode", slow_gcode(3))
            answer = await by_hand.upload(octoprint, "second.gcode", slow_gcode(1), start=True)
            assert (answer.status_code, answer.json()["effectivePrint"]) == (201, False)  # the trap

        cloud.once("file", start_another)
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "released")
        assert (attempt.reason, attempt.reports) == ("printer_busy", ["released"])
        await eventually(lambda: octoprint.file(attempt.path), within_s=20)
        await cloud.until(lambda: cloud.foreign_prints == 2 * ["first.gcode"])
        assert [octoprint.starts(path) for path in (attempt.path, "second.gcode")] == [0, 0]


class TestPrintDoneAtTheStartOfFinishing:
    async def test_it_is_not_the_end(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        attempt = await finishing(octoprint, cloud)
        await cloud.until(lambda: cloud.now.get("state") == "finishing")
        assert attempt.reports == ["started"]
        await cloud.until_state(attempt, "completed")
        assert await octoprint.state() == "Operational"

    async def test_a_connection_that_is_lost_then_leaves_it_unknown_for_good(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """That the printer is connected again and the history counts a success proves nothing about the last moves."""
        attempt = await finishing(octoprint, cloud)
        await by_hand.disconnect(octoprint)
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "lost_while_finishing"
        await octoprint.connect()
        await cloud.until_claims()
        await bridge.restart()
        await cloud.until_claims()
        assert await octoprint.successes_and_failures(attempt.path) == (1, 0)
        assert attempt.reports == ["started", "unknown"]

    async def test_a_cancel_then_is_a_cancel_although_it_counts_as_a_success_too(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await finishing(octoprint, cloud)
        await by_hand.press(octoprint, "cancel")
        await cloud.until_state(attempt, "cancelled")
        assert await octoprint.successes_and_failures(attempt.path) == (1, 1)


class TestSuccessWithoutPrintTime:
    async def test_it_is_no_success(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        """OctoPrint counts such a success in 4 of 120 pairs of simultaneous starts, so here it is written into the
        history of a print that a kill interrupted; OctoPrint itself then tells it."""
        attempt = await cloud.printing(slow_gcode(30))
        await octoprint.kill()
        entry: dict[str, object] = {
            "timestamp": 1795219588.0,
            "printTime": None,
            "success": True,
            "printerProfile": "_default",
        }
        rewrite_history(octoprint, attempt.path, [entry])
        await octoprint.start()
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "print_time_missing"
        assert attempt.evidence["file"]["prints"]["last"]["print_time_s"] is None  # type: ignore[index]


class TestHistoryMissingAfterAKill:
    async def test_what_was_heard_before_counts(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """A kill in the first 20 ms after PrintDone takes the history along; a later one leaves it, so here it is taken
        away when the kill came too late."""
        await cloud.until(lambda: cloud.now.get("temperatures"))  # it listens
        attempt = await cloud.add_job(gcode_with_a_long_end())

        async def heard() -> bool:
            return bridge.journal_sightings(attempt.id).get("done") is True

        await eventually(heard, within_s=20)
        await octoprint.kill()
        rewrite_history(octoprint, attempt.path, [])
        await octoprint.start()
        assert await octoprint.successes_and_failures(attempt.path) == (0, 0)
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1


class TestTimedOutStart:
    async def test_it_runs_when_a_frozen_octoprint_wakes_up_and_is_adopted(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """The bridge is killed while it waits for the answer: the request is in OctoPrint's socket already."""

        async def freeze() -> None:
            octoprint.freeze()

        cloud.once("permit", freeze)
        attempt = await cloud.add_job(slow_gcode(3))

        async def pressed() -> bool:
            return bridge.journal_states().get(attempt.id) == "starting" and bridge.has_sent_to(octoprint.port)

        try:
            await eventually(pressed, within_s=20)
            await bridge.restart()
            await cloud.until(lambda: cloud.now.get("connection") == "octoprint_offline")
            assert attempt.state == "starting"
        finally:
            octoprint.thaw()
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "completed"]
        assert octoprint.starts(attempt.path) == 1

    async def test_a_time_out_does_not_say_that_it_was_not_started(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(octoprint_client, "READ_TIMEOUT_S", 0.5)
        await by_hand.upload(octoprint, "traps/late.gcode", slow_gcode(2))
        async with client_of(octoprint) as client:
            await client.job()  # a connection is open
            octoprint.freeze()
            try:
                with pytest.raises(Unavailable) as raised:
                    await client.select_and_print("traps/late.gcode")
            finally:
                octoprint.thaw()
            assert not isinstance(raised.value, NotSent)

            async def prints() -> bool:
                return (await client.job()).prints("traps/late.gcode")

            await eventually(prints, within_s=20)
        await stop_and_tell(octoprint, cloud, "traps/late.gcode")


class TestSerialLossWhilePaused:
    @staticmethod
    async def paused(cloud: FakeCloud, octoprint: OctoPrint) -> Attempt:
        attempt = await cloud.printing(slow_gcode(20))
        await by_hand.press(octoprint, "pause")
        await cloud.until_state(attempt, "paused")
        return attempt

    async def test_a_bridge_that_was_there_knows_that_it_failed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        """No PrintFailed comes and no history is written: only the loss itself is told."""
        attempt = await self.paused(cloud, octoprint)
        await octoprint.debug("drop_connection")
        await cloud.until_state(attempt, "failed")
        assert attempt.reason == "printer_disconnected"
        assert attempt.evidence["events"]["failed"] is False  # type: ignore[index]
        assert await octoprint.successes_and_failures(attempt.path) == (0, 0)

    async def test_for_a_bridge_that_was_not_it_is_unknown(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await self.paused(cloud, octoprint)
        await bridge.kill()
        await octoprint.debug("drop_connection")

        async def offline() -> bool:
            return str(await octoprint.state()).startswith("Offline")

        await eventually(offline, within_s=20)
        await bridge.start()
        await cloud.until_state(attempt, "unknown")
        assert attempt.reason == "not_decidable"
        assert "before that it noted 'printing' at 20" in str(attempt.detail)


class TestTruncatedUpload:
    @pytest.fixture
    def spool(self, tmp_path: Path) -> Iterator[Path]:
        """A folder on another file system than the tests' own, where there is one: from there OctoPrint copies.

        Else it moves the whole file at once, and the test cuts it.
        """
        memory = Path("/dev/shm")  # noqa: S108  (a file system, not a name)
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
            yield Path(folder)

    async def test_a_copy_that_a_kill_cut_short_is_never_printed(
        self, own_cloud: FakeCloud, tmp_path: Path, spool: Path
    ) -> None:
        """It stands under its final name, without a hash, so storing it again is refused; the next attempt has a path
        of its own. Copying takes some 50 ms: where the kill came too late, or nothing had to be copied, it is cut
        here."""
        own_cloud.lease_s = 300
        content = b"G21\nG1 X1 F6000\n" + b"; padding that makes the copying last\n" * 1_400_000
        async with running_octoprint(tmp_path / "octoprint", spool=spool) as octoprint:
            async with running_bridge(tmp_path / "bridge", cloud_url=own_cloud.url, octoprint=octoprint) as bridge:
                attempt = await own_cloud.add_job(content)
                file = tmp_path / "octoprint/uploads" / attempt.path
                async with asyncio.timeout(30):
                    while not file.exists():
                        await asyncio.sleep(0.001)
                await octoprint.kill()
                await bridge.kill()
                if file.stat().st_size == len(content):
                    os.truncate(file, len(content) // 2)
                    (file.parent / ".metadata.json").unlink(missing_ok=True)
                await octoprint.start()
                stored = await octoprint.file(attempt.path)
                assert stored is not None
                assert stored.get("hash") is None
                await bridge.start()
                await own_cloud.until_state(attempt, "released", timeout_s=60)
                assert attempt.reason == "transfer_failed"
                assert "is not what was sent" in str(attempt.detail)
                following = await own_cloud.add_job(slow_gcode(0.3))
                await own_cloud.until_state(following, "completed", timeout_s=60)
            assert [octoprint.starts(each.path) for each in (attempt, following)] == [0, 1]


class TestStaleList:
    async def test_a_file_that_came_while_its_folder_was_listed_is_found(self, octoprint: OctoPrint) -> None:
        """As after that race: OctoPrint has read the folder anew, but its API answers from a list that lacks the file.

        It reads the list first and the folder's age after that, so it takes such a list for current.
        """
        await by_hand.upload(octoprint, "elsewhere/first.gcode", slow_gcode(0.1))
        folder = octoprint.folder / "uploads" / "elsewhere"
        young = time.time() + 3600
        for place in (folder, folder / ".metadata.json"):
            os.utime(place, (young, young))
        answer = await octoprint.call("GET", "/api/files/local/elsewhere/second.gcode")
        assert answer.status_code == 404
        content = slow_gcode(0.1)
        (folder / "second.gcode").write_bytes(content)
        os.utime(folder, (young, young))
        await octoprint.call("GET", "/api/files/local?recursive=true&force=true")
        answer = await octoprint.call("GET", "/api/files/local/elsewhere/second.gcode")
        assert answer.status_code == 404
        async with client_of(octoprint) as client:
            found = await client.file("elsewhere/second.gcode")
            assert found is not None
            assert found.size_bytes == len(content)
            assert await client.file("elsewhere/third.gcode") is None
        now = time.time()
        for place in (folder, folder / ".metadata.json"):
            os.utime(place, (now, now))


class TestMissingFolder:
    async def test_no_file_is_in_a_folder_that_is_not_there(self, octoprint: OctoPrint) -> None:
        """OctoPrint fails instead of saying so, for good."""
        for path in ("nowhere/x.gcode", "nowhere/2026-01/x.gcode", "fluxprint/1999-01/x.gcode"):
            answer = await octoprint.call("GET", f"/api/files/local/{path}")
            assert answer.status_code == 500
            async with client_of(octoprint) as client:
                assert await client.find(path) is None

    async def test_a_bridge_that_had_begun_to_bring_the_first_file_goes_on_after_a_restart(
        self, own_cloud: FakeCloud, tmp_path: Path
    ) -> None:
        async def gone() -> None:
            raise Refusal(404, "file_not_found")

        async with running_octoprint(tmp_path / "octoprint") as octoprint:
            own_cloud.beds[own_cloud.printer_id] = "occupied"
            async with running_bridge(tmp_path / "bridge", cloud_url=own_cloud.url, octoprint=octoprint) as bridge:
                own_cloud.once("ahead", gone)
                attempt = await own_cloud.add_job(slow_gcode(0.3))
                await bridge.until_logged('"staging_failed"')
                await bridge.kill()
                assert not (octoprint.folder / "uploads" / "fluxprint").exists()
                await bridge.start()
                await own_cloud.clear_bed()
                await own_cloud.until_state(attempt, "completed")
                assert octoprint.starts(attempt.path) == 1


class TestFileNameInUse:
    @pytest.mark.parametrize("length_s", [1, 2], ids=["as many", "more"])
    async def test_a_file_of_other_bytes_under_our_name_is_not_printed(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, length_s: float
    ) -> None:
        cloud.once("file", lambda: by_hand.upload(octoprint, attempt.path, slow_gcode(length_s)))
        attempt = await cloud.add_job(slow_gcode(1))
        await cloud.until_state(attempt, "released")
        assert attempt.reason == "transfer_failed"
        assert octoprint.starts(attempt.path) == 0

    async def test_our_own_file_of_an_upload_whose_answer_was_lost_is_used(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.once("file", lambda: by_hand.upload(octoprint, attempt.path, attempt.content))
        attempt = await cloud.add_job(slow_gcode(0.5))
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1

    @pytest.mark.parametrize("length_s", [0.3, 5.0], ids=["is over", "goes on"])
    async def test_our_own_file_that_somebody_prints_by_hand_is_not_printed_again(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, length_s: float
    ) -> None:
        """Overwriting it is refused, it is idle or it is not; in any case the bed is not clear any more."""

        async def print_by_hand() -> None:
            await by_hand.upload(octoprint, attempt.path, attempt.content)
            await by_hand.start(octoprint, attempt.path)
            if length_s < 1:
                await by_hand.until_counted(octoprint, attempt.path, 1, 0)

        cloud.once("file", print_by_hand)
        attempt = await cloud.add_job(slow_gcode(length_s))
        await cloud.until_state(attempt, "released")
        assert attempt.reason in {"printed_by_hand", "printer_busy"}
        await cloud.until(lambda: attempt.path in cloud.foreign_prints)
        if length_s > 1:
            await stop_and_tell(octoprint, cloud, attempt.path)
        assert cloud.beds[cloud.printer_id] == "occupied"
        assert octoprint.starts(attempt.path) == 1
