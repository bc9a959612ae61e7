"""What the verdict says about small, made-up runs: one broken promise at a time."""

from dataclasses import replace

import pytest

from tools.chaos.facts import Asked, Attempt, Confirmation, Facts, Job, LogLine
from tools.chaos.verdict import judge

JOB = Job(id="job_1", name="run-0", copies=1, state="completed", reason=None, ended_at=30.0)
ATTEMPT = Attempt(
    id="attempt_1",
    job="job_1",
    printer=0,
    copy=1,
    state="completed",
    reason=None,
    permitted_at=10.0,
    ended_at=30.0,
    resolved=False,
    successes=1,
)


def line(at: float, kind: str, of: str = "attempt_1") -> LogLine:
    path = None if kind in {"ended", "boot"} else f"fluxprint/2026-11/{of}.gcode"
    return LogLine(at, 0, kind, path, kind)


def printed(of: str = "attempt_1", *, begins: float = 11.0, ends: float = 20.0) -> list[LogLine]:
    return [line(begins, "started", of), line(ends, "done", of), line(ends, "ended", of)]


def confirmed(at: float, of: str | None = "attempt_0", *, seen_at: float | None = None) -> Confirmation:
    return Confirmation(0, of, at if seen_at is None else seen_at, at, at + 0.1)


def good() -> Facts:
    """One job, printed once, without any trouble."""
    return Facts(
        began_at=10.0,
        log=printed(),
        asked=[Asked(name="run-0", key=True, sent=3, answered=["job_1", "job_1"])],
        jobs=[JOB],
        attempts=[ATTEMPT],
    )


def rules(facts: Facts) -> set[str]:
    return {violation.rule for violation in judge(facts)}


class TestGoodRuns:
    def test_a_quiet_day(self) -> None:
        assert judge(good()) == []

    def test_a_history_that_a_crash_swallowed(self) -> None:
        facts = good()
        facts.attempts = [replace(ATTEMPT, successes=0)]
        assert judge(facts) == []

    def test_a_failure_with_a_reason(self) -> None:
        facts = good()
        facts.log = [line(11, "started"), line(12, "boot")]
        facts.jobs = [replace(JOB, state="failed", reason="resolved_drop")]
        facts.attempts = [replace(ATTEMPT, state="failed", resolved=True, successes=0)]
        assert judge(facts) == []

    def test_two_prints_with_a_confirmation_between_them(self) -> None:
        facts = good()
        facts.log = [*printed("attempt_0", begins=1, ends=2), *printed()]
        facts.confirmations = [confirmed(3)]
        assert judge(facts) == []

    def test_a_bed_confirmed_by_what_was_seen_after_the_print(self) -> None:
        facts = good()
        facts.log = [*printed("attempt_0", begins=1, ends=2), *printed()]
        facts.confirmations = [confirmed(3, of=None, seen_at=2.5)]
        assert judge(facts) == []


class TestBrokenPromises:
    def test_a_path_that_was_started_twice(self) -> None:
        facts = good()
        facts.log += printed(begins=21, ends=22)
        facts.confirmations = [confirmed(20.5, of="attempt_1")]
        assert rules(facts) == {"started once", "completed means printed"}

    def test_a_start_of_what_nobody_wants(self) -> None:
        facts = good()
        facts.log[0] = line(11, "started", "attempt_9")
        assert rules(facts) == {"only what is wanted"}

    def test_a_start_on_a_busy_printer(self) -> None:
        facts = good()
        facts.log.insert(1, line(15, "started", "attempt_0"))
        assert "not on a busy printer" in rules(facts)

    @pytest.mark.parametrize("asked_at", [1.5, 12.0], ids=["while it printed", "after the next start"])
    def test_a_bed_confirmed_at_another_time(self, asked_at: float) -> None:
        facts = good()
        facts.log = [*printed("attempt_0", begins=1, ends=2), *printed()]
        facts.confirmations = [confirmed(asked_at)]
        assert rules(facts) == {"not on an occupied bed"}

    @pytest.mark.parametrize(
        "said", [confirmed(7, of="attempt_0"), confirmed(7, of=None, seen_at=5.5)], ids=["of another", "before its end"]
    )
    def test_a_bed_confirmed_by_an_old_look(self, said: Confirmation) -> None:
        facts = good()
        facts.log = [*printed("attempt_0", begins=1, ends=2), *printed("attempt_2", begins=5, ends=6), *printed()]
        facts.confirmations = [confirmed(3), said]
        assert rules(facts) == {"not on an occupied bed"}

    def test_one_confirmation_for_two_prints(self) -> None:
        facts = good()
        facts.log = [*printed("attempt_0", begins=1, ends=2), *printed("attempt_2", begins=5, ends=6), *printed()]
        facts.confirmations = [confirmed(3)]
        assert rules(facts) == {"not on an occupied bed"}

    def test_a_bed_after_a_print_that_a_crash_ended(self) -> None:
        facts = good()
        facts.log = [line(1, "started", "attempt_0"), line(5, "boot"), *printed()]
        facts.confirmations = [confirmed(2)]
        assert rules(facts) == {"not on an occupied bed"}

    def test_a_start_before_the_permit(self) -> None:
        facts = good()
        facts.attempts = [replace(ATTEMPT, permitted_at=12.0)]
        assert rules(facts) == {"permitted first"}

    def test_a_start_of_what_was_given_back(self) -> None:
        facts = good()
        facts.jobs = [replace(JOB, state="failed", reason="transfer_failed")]
        facts.attempts = [replace(ATTEMPT, state="released")]
        assert rules(facts) == {"released means not started"}

    def test_a_start_after_a_cancel(self) -> None:
        facts = good()
        facts.jobs = [replace(JOB, state="cancelled", reason="cancelled_at_printer")]
        facts.attempts = [replace(ATTEMPT, state="cancelled")]
        facts.cancelled = {"job_1": 10.5}
        assert rules(facts) == {"nothing starts after a cancel"}

    def test_a_start_after_the_end(self) -> None:
        facts = good()
        facts.attempts = [replace(ATTEMPT, ended_at=10.5)]
        assert rules(facts) == {"nothing starts after its end"}

    def test_a_success_that_octoprint_knows_nothing_of(self) -> None:
        facts = good()
        facts.log = [line(11, "started"), line(12, "boot")]
        facts.attempts = [replace(ATTEMPT, successes=0)]
        assert rules(facts) == {"completed means printed"}

    def test_a_copy_that_two_attempts_printed(self) -> None:
        facts = good()
        facts.log = [*printed("attempt_0", begins=1, ends=2), *printed()]
        facts.attempts = [replace(ATTEMPT, id="attempt_0", state="failed", permitted_at=0.5, ended_at=3), ATTEMPT]
        facts.confirmations = [confirmed(3)]
        assert rules(facts) == {"each copy once"}

    def test_a_job_without_all_of_its_copies(self) -> None:
        facts = good()
        facts.jobs = [replace(JOB, copies=2)]
        assert rules(facts) == {"completed means all copies"}

    @pytest.mark.parametrize("state", ["failed", "cancelled"])
    def test_an_end_without_a_reason(self, state: str) -> None:
        facts = good()
        facts.jobs = [replace(JOB, state=state)]
        assert rules(facts) == {"an end has a reason"}

    def test_a_job_that_got_lost(self) -> None:
        facts = good()
        facts.asked[0].answered.append("job_9")
        assert rules(facts) == {"no job is lost"}

    def test_two_jobs_of_one_key(self) -> None:
        facts = good()
        facts.jobs.append(replace(JOB, id="job_2", state="cancelled", reason="cancelled_at_printer"))
        assert rules(facts) == {"one key makes one job"}

    def test_two_jobs_of_one_request(self) -> None:
        facts = good()
        facts.asked = [Asked(name="run-0", key=False, sent=1, answered=["job_1"])]
        facts.jobs.append(replace(JOB, id="job_2", state="cancelled", reason="cancelled_at_printer"))
        assert rules(facts) == {"one request makes one job"}

    def test_what_hangs_and_what_ends_by_itself(self) -> None:
        facts = good()
        facts.stuck, facts.crashes = "run-0 is queued", ["bridge-0 ended (exit 1)"]
        assert rules(facts) == {"nothing is stuck", "nothing ends by itself"}
