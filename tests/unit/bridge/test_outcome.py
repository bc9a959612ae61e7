"""What OctoPrint's words prove: each row of its measured behaviour, and the bogus ones."""

from dataclasses import replace

import pytest

from fluxprint_bridge.octoprint.outcome import ABSENCE_SETTLES_S, Finding, Sightings, Verdict, judge
from fluxprint_bridge.octoprint.push import Event
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState, StoredFile, classify

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


def seen(*events: tuple[str, dict[str, object]]) -> Sightings:
    sightings = Sightings()
    for kind, payload in events:
        sightings = sightings.with_event(Event(kind, payload), PATH)
    return sightings


def verdict(
    job: Job, file: StoredFile | None = NEVER_PRINTED, sightings: Sightings | None = None, *, cancel_asked: bool = False
) -> Finding:
    return judge(PATH, job=job, file=file, seen=sightings or Sightings(), cancel_asked=cancel_asked)


class TestRunning:
    @pytest.mark.parametrize("state", sorted(ACTIVE))
    def test_every_active_state_of_our_file_runs(self, state: PrinterState) -> None:
        assert verdict(replace(PRINTING, state=state)).verdict is Verdict.RUNNING

    def test_the_same_path_on_the_sd_card_is_not_ours(self) -> None:
        assert verdict(replace(PRINTING, origin="sdcard")).verdict is Verdict.UNKNOWN

    def test_done_is_not_final_while_it_finishes(self) -> None:
        done = seen(("PrintDone", {**ABOUT, "time": 2.0}))
        finishing = replace(PRINTING, state=PrinterState.FINISHING, completion=100.0)
        assert verdict(finishing, stored(success=1, print_time_s=2.0), done).verdict is Verdict.RUNNING


class TestCompleted:
    def test_by_its_event(self) -> None:
        assert verdict(FINISHED, None, seen(("PrintDone", {**ABOUT, "time": 2.0}))).verdict is Verdict.COMPLETED

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

    def test_the_history_alone_waits_for_an_operational_printer(self) -> None:
        assert verdict(OFFLINE, stored(success=1, print_time_s=2.0)).verdict is Verdict.WAIT


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

    def test_the_printer_was_lost_before_it_stood_still(self) -> None:
        told = seen(("PrintDone", {**ABOUT, "time": 2.0}), ("Disconnected", {}))
        found = verdict(OFFLINE, stored(success=1, print_time_s=2.0), told)
        assert (found.verdict, found.reason) == (Verdict.UNKNOWN, "lost_while_finishing")


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
