"""What OctoPrint's words prove: each row of its measured behaviour, and the bogus ones."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from fluxprint_bridge.octoprint.log import MAX_LINE_CHARS, MAX_LOG_BYTES, LogTooLong, LogTrace, trace_of
from fluxprint_bridge.octoprint.outcome import (
    ABSENCE_SETTLES_S,
    OFFLINE_SETTLES_S,
    Finding,
    Sightings,
    Verdict,
    by_log,
    judge,
)
from fluxprint_bridge.octoprint.push import Event
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState, StoredFile, classify, read_job

PATH = "fluxprint/2026-11/attempt_1.gcode"
ABOUT: dict[str, object] = {"path": PATH, "origin": "local", "name": "attempt_1.gcode"}
IDLE = Job(PrinterState.IDLE, "Operational")
SELECTED = replace(IDLE, path=PATH, origin="local")
FINISHED = replace(SELECTED, completion=100.0)
PRINTING = Job(PrinterState.PRINTING, "Printing", path=PATH, origin="local", completion=12.5)
OFFLINE = Job(PrinterState.ERROR, "Offline after error", error="SerialTimeoutException: ")
FOREIGN = Job(PrinterState.PRINTING, "Printing", path="by_hand.gcode", origin="local")


def stored(*, success: int = 0, failure: int = 0, print_time_s: float | None = None) -> StoredFile:
    last = {"success": failure == 0, "printTime": print_time_s, "date": 1.0}
    prints = {"success": success, "failure": failure, "last": last}
    return StoredFile.model_validate({"path": PATH, "size": 10, "hash": "0" * 40, "prints": prints})


NEVER_PRINTED = StoredFile.model_validate({"path": PATH, "size": 10, "hash": "0" * 40})


def seen(*events: tuple[str, Mapping[str, object]]) -> Sightings:
    sightings = Sightings()
    for kind, payload in events:
        sightings = sightings.with_event(Event(kind, payload), PATH)
    return sightings


def verdict(
    job: Job,
    file: StoredFile | None = NEVER_PRINTED,
    sightings: Sightings | None = None,
    *,
    was_printing: bool = True,
    cancel_asked: bool = False,
) -> Finding:
    seen = sightings or Sightings()
    return judge(PATH, job=job, file=file, seen=seen, was_printing=was_printing, cancel_asked=cancel_asked)


DONE = seen(("PrintDone", {**ABOUT, "time": 2.0}))


class TestRunning:
    @pytest.mark.parametrize("state", sorted(ACTIVE))
    def test_every_active_state_of_our_file_runs(self, state: PrinterState) -> None:
        assert verdict(replace(PRINTING, state=state)).verdict is Verdict.RUNNING

    def test_the_same_path_on_the_sd_card_is_not_ours(self) -> None:
        assert verdict(replace(PRINTING, origin="sdcard")).verdict is Verdict.UNKNOWN

    def test_done_is_not_final_while_it_finishes(self) -> None:
        finishing = replace(PRINTING, state=PrinterState.FINISHING, completion=100.0)
        assert verdict(finishing, stored(success=1, print_time_s=2.0), DONE).verdict is Verdict.RUNNING


class TestCompleted:
    def test_by_its_event(self) -> None:
        assert verdict(FINISHED, None, DONE).verdict is Verdict.COMPLETED

    def test_by_its_history(self) -> None:
        assert verdict(IDLE, stored(success=1, print_time_s=2.0)).verdict is Verdict.COMPLETED

    def test_by_the_selection_when_the_history_lags(self) -> None:
        assert verdict(FINISHED).verdict is Verdict.COMPLETED

    def test_while_somebody_prints_something_else_already(self) -> None:
        assert verdict(FOREIGN, stored(success=1, print_time_s=2.0)).verdict is Verdict.COMPLETED

    def test_when_the_printer_was_switched_off_after_it_stood_still(self) -> None:
        told = seen(
            ("PrintDone", {**ABOUT, "time": 2.0}),
            ("PrinterStateChanged", {"state_id": "OPERATIONAL", "state_string": "Operational"}),
            ("Disconnected", {}),
        )
        assert verdict(OFFLINE, None, told).verdict is Verdict.COMPLETED

    def test_by_its_event_when_a_kill_took_the_history(self) -> None:
        assert verdict(IDLE, NEVER_PRINTED, DONE).verdict is Verdict.COMPLETED

    @pytest.mark.parametrize("told", [Sightings(), DONE])
    def test_it_waits_a_while_for_an_operational_printer(self, told: Sightings) -> None:
        found = verdict(OFFLINE, stored(success=1, print_time_s=2.0), told)
        assert (found.verdict, found.settle_s) == (Verdict.UNKNOWN, OFFLINE_SETTLES_S)


class TestFailed:
    def test_by_its_event(self) -> None:
        told = seen(("PrintFailed", {**ABOUT, "reason": "error", "error": "Thermal Runaway", "time": 1.0}))
        found = verdict(OFFLINE, stored(failure=1), told)
        assert (found.verdict, found.reason) == (Verdict.FAILED, "octoprint_error")
        assert "Thermal Runaway" in str(found.detail)

    def test_by_its_history(self) -> None:
        assert verdict(OFFLINE, stored(failure=1)).verdict is Verdict.FAILED

    def test_a_connection_lost_in_a_pause_leaves_only_an_event(self) -> None:
        found = verdict(OFFLINE, NEVER_PRINTED, seen(("Disconnected", {})))
        assert (found.verdict, found.reason, found.settle_s) == (
            Verdict.FAILED,
            "printer_disconnected",
            ABSENCE_SETTLES_S,
        )

    def test_which_is_no_proof_of_a_print_whose_outcome_was_unknown(self) -> None:
        assert not verdict(OFFLINE, NEVER_PRINTED, seen(("Disconnected", {}))).is_proof
        assert verdict(OFFLINE, stored(failure=1)).is_proof


class TestCancelled:
    def test_at_the_printer_by_a_user(self) -> None:
        told = seen(
            ("PrintCancelled", {**ABOUT, "user": "anna", "time": 1.0}),
            ("PrintFailed", {**ABOUT, "reason": "cancelled", "user": "anna"}),
        )
        found = verdict(SELECTED, stored(failure=1), told)
        assert (found.verdict, found.reason) == (Verdict.CANCELLED, "cancelled_at_printer")
        assert "anna" in str(found.detail)

    def test_by_request(self) -> None:
        told = seen(("PrintCancelled", {**ABOUT, "user": "bridge"}))
        assert verdict(SELECTED, None, told, cancel_asked=True).reason == "cancelled_by_request"

    def test_by_history_the_file_stays_selected(self) -> None:
        assert verdict(SELECTED, stored(failure=1)).verdict is Verdict.CANCELLED

    def test_while_finishing_it_counts_as_both(self) -> None:
        assert verdict(SELECTED, stored(success=1, failure=1)).verdict is Verdict.CANCELLED


class TestUnknown:
    @pytest.mark.parametrize("job", [IDLE, SELECTED, FOREIGN, OFFLINE])
    @pytest.mark.parametrize("file", [NEVER_PRINTED, None])
    def test_no_trace_proves_nothing(self, job: Job, file: StoredFile | None) -> None:
        found = verdict(job, file)
        assert (found.verdict, found.settle_s) == (Verdict.UNKNOWN, ABSENCE_SETTLES_S)

    @pytest.mark.parametrize(
        ("file", "told"),
        [(stored(success=1), Sightings()), (NEVER_PRINTED, seen(("PrintDone", {**ABOUT, "time": None})))],
    )
    def test_a_success_without_a_print_time_was_torn_apart_by_two_starts(
        self, file: StoredFile, told: Sightings
    ) -> None:
        found = verdict(replace(FINISHED, completion=0.0), file, told)
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "print_time_missing")

    @pytest.mark.parametrize("job", [OFFLINE, IDLE, FOREIGN])
    def test_the_printer_was_lost_before_it_stood_still(self, job: Job) -> None:
        """And stays so: that it is connected again proves no more."""
        reconnected = ("PrinterStateChanged", {"state_id": "OPERATIONAL", "state_string": "Operational"})
        told = seen(("PrintDone", {**ABOUT, "time": 2.0}), ("Disconnected", {}), reconnected)
        found = verdict(job, stored(success=1, print_time_s=2.0), told)
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "lost_while_finishing")

    def test_a_connection_lost_before_anything_printed_fails_nothing(self) -> None:
        found = verdict(OFFLINE, NEVER_PRINTED, seen(("Disconnected", {})), was_printing=False)
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "not_decidable")


class TestFigures:
    @pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf")])
    def test_what_is_no_number_is_none(self, odd: float) -> None:
        """An infinite completion would be a finished print."""
        told = {"job": {"file": {"path": PATH, "origin": "local"}}, "progress": {"completion": odd}}
        assert read_job({**told, "state": "Operational"}).completion is None


async def in_pieces(log: bytes, size: int) -> AsyncIterator[bytes]:
    for begin in range(0, len(log), size):
        yield log[begin : begin + size]


class TestLog:
    STOOD_STILL = 'octoprint.util.comm - INFO - Changing monitoring state from "Finishing" to "Operational"'
    LOST = 'octoprint.util.comm - INFO - Changing monitoring state from "Finishing" to "Offline after error"'
    CONNECTED = 'octoprint.util.comm - INFO - Changing monitoring state from "Connecting" to "Operational"'
    BANNER = "octoprint.startup - INFO - Starting OctoPrint 1.11.8"

    @classmethod
    async def trace(cls, *lines: str) -> LogTrace:
        written = [f"2026-11-21 02:00:00,001 - {cls.BANNER}"]
        written += [f"2026-11-21 02:11:0{number},123 - {line}" for number, line in enumerate(lines)]
        return await trace_of(PATH, in_pieces("\n".join([*written, ""]).encode(), 7))

    @staticmethod
    def line(what: str, path: str = PATH, user: str = "fluxprint") -> str:
        return (
            f"octoprint.printer.standard.job - INFO - Print job {what} - origin: local, path: {path}, owner: x, "
            f"user: {user}, fileposition: 1"
        )

    async def test_an_end_in_the_log_decides(self) -> None:
        done = await self.trace(self.line("started"), self.line("done"), self.STOOD_STILL, self.BANNER, self.CONNECTED)
        assert by_log(done, cancel_asked=False) == Finding(Verdict.COMPLETED)
        by_anna = by_log(
            await self.trace(self.line("started"), self.line("cancelled", user="anna")), cancel_asked=False
        )
        assert by_anna is not None
        assert (by_anna.verdict, by_anna.detail) == (Verdict.CANCELLED, "Cancelled by the OctoPrint user anna.")

    @pytest.mark.parametrize("then", [[], [BANNER, CONNECTED], [LOST, CONNECTED]])
    async def test_done_alone_is_the_start_of_finishing(self, then: list[str]) -> None:
        trace = await self.trace(self.line("started"), self.line("done"), *then)
        found = by_log(trace, cancel_asked=False)
        assert found is not None
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "lost_while_finishing")
        assert "the whole file was sent, and no word of how it ended" in trace.as_sentence()

    async def test_a_cancel_while_it_finished_is_one(self) -> None:
        trace = await self.trace(self.line("done"), self.LOST.replace("Offline after error", "Cancelling"))
        assert not trace.stood_still
        trace = await self.trace(self.line("done"), self.line("cancelled"), self.STOOD_STILL)
        found = by_log(trace, cancel_asked=False)
        assert found is not None
        assert found.verdict is Verdict.CANCELLED

    async def test_a_start_without_an_end_is_told_and_decides_nothing(self) -> None:
        trace = await self.trace(self.line("started"), self.BANNER)
        assert by_log(trace, cancel_asked=False) is None
        assert trace.as_sentence() == (
            "octoprint.log: started at 2026-11-21 02:11:00, and no end of it; OctoPrint itself was started anew at "
            "2026-11-21 02:11:01."
        )

    async def test_no_line_at_all_is_no_proof_either(self) -> None:
        trace = await self.trace(self.line("started", "by_hand.gcode"), self.line("done", "x" + PATH))
        assert by_log(trace, cancel_asked=False) is None
        assert trace.lines == ()
        assert "from 2026-11-21 02:00:00 on, has no start of it" in trace.as_sentence()

    async def test_an_end_before_another_start_is_not_the_end(self) -> None:
        trace = await self.trace(self.line("started"), self.line("cancelled"), self.line("started"))
        assert by_log(trace, cancel_asked=False) is None

    async def test_a_line_without_an_end_hides_no_other_and_is_not_kept(self) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(200):
                yield b"x" * 20_000
            yield f"\n2026-11-21 02:11:00,123 - {self.line('started')}".encode()
            for _ in range(200):
                yield b"y" * 20_000

        tracemalloc.start()
        try:
            trace = await trace_of(PATH, pieces())
            _, peak_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert trace.started_at == "2026-11-21 02:11:00"
        assert [len(line) for line in trace.lines] == [MAX_LINE_CHARS]
        assert peak_bytes < 1_000_000

    async def test_others_have_their_turn_while_it_is_read(self) -> None:
        """What has arrived already is read without waiting: no timer would be looked at, the time-out neither."""

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"\n"

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await trace_of(PATH, endless())

    async def test_one_that_is_too_long_for_its_end_to_be_read_proves_nothing(self) -> None:
        start = f"2026-11-21 02:11:00,123 - {self.line('started')}\n"
        with pytest.raises(LogTooLong):
            await trace_of(PATH, in_pieces(start.encode() + b"x" * MAX_LOG_BYTES, 65536))


class TestSightings:
    def test_other_files_do_not_count(self) -> None:
        assert seen(("PrintDone", {"path": "by_hand.gcode", "origin": "local", "time": 2.0})) == Sightings()

    def test_a_restart_of_the_print_begins_anew(self) -> None:
        assert seen(("PrintFailed", {**ABOUT, "reason": "error"}), ("PrintStarted", ABOUT)) == Sightings(started=True)

    def test_they_survive_the_journal(self) -> None:
        told = seen(("PrintStarted", ABOUT), ("PrintDone", {**ABOUT, "time": 2.0}))
        assert Sightings(**told.as_json()) == told  # type: ignore[arg-type]


class TestClassify:
    def test_a_text_that_nobody_knows_is_busy(self) -> None:
        assert classify("Unknown State (17)") in ACTIVE

    def test_connecting_is_not_ready(self) -> None:
        assert classify("Detecting serial connection") is PrinterState.OFFLINE
