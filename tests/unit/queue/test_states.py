"""The transition tables, and how a job's state follows from its attempts."""

import re
from itertools import product
from pathlib import Path

from fluxprint_queue.attempts.states import ENDED, LIVE, PERMITTED, REPORTED_STATE, TRANSITIONS, AttemptState
from fluxprint_queue.jobs.states import JobState, job_state

PROTOCOL = Path(__file__).parents[3] / "docs" / "protocol.md"


class TestAttempts:
    def test_the_documents_table_is_the_codes_table(self) -> None:
        section = PROTOCOL.read_text().split("Attempt:\n")[1].split("`released`, `completed`")[0]
        written = {
            (AttemptState(start), AttemptState(end))
            for row in re.findall(r"^\| (`.*?) \| (`.*?) \|", section, re.MULTILINE)
            for start, end in product(*(re.findall(r"`(\w+)`", cell) for cell in row))
        }
        assert written == {(start, end) for start, following in TRANSITIONS.items() for end in following}

    def test_an_attempt_that_ended_never_lives_again(self) -> None:
        assert {end for state in ENDED for end in TRANSITIONS[state]} == set()
        assert {AttemptState.COMPLETED, AttemptState.FAILED, AttemptState.CANCELLED, AttemptState.RELEASED} == ENDED
        assert set(AttemptState) == ENDED | LIVE

    def test_only_the_permit_leads_from_a_claim_to_anything_physical(self) -> None:
        assert TRANSITIONS[AttemptState.CLAIMED] & PERMITTED == {AttemptState.STARTING}
        reachable = {state for state, following in TRANSITIONS.items() if AttemptState.PRINTING in following}
        assert AttemptState.CLAIMED not in reachable

    def test_nothing_starts_again_after_it_was_started(self) -> None:
        for state in (AttemptState.PRINTING, AttemptState.PAUSED, AttemptState.UNKNOWN):
            assert not TRANSITIONS[state] & {AttemptState.STARTING, AttemptState.CLAIMED, AttemptState.RELEASED}

    def test_every_report_leads_somewhere(self) -> None:
        assert set(REPORTED_STATE.values()) <= {end for following in TRANSITIONS.values() for end in following}


class TestJobs:
    def state(self, *live: AttemptState, completed: int = 0, cancelled: bool = False, failed: bool = False) -> JobState:
        return job_state(copies=2, completed=completed, live=live, cancel_requested=cancelled, failed=failed)

    def test_it_waits_prints_and_completes(self) -> None:
        assert self.state() is JobState.QUEUED
        assert self.state(AttemptState.CLAIMED) is JobState.ACTIVE
        assert self.state(AttemptState.PRINTING, completed=1) is JobState.ACTIVE
        assert self.state(completed=1) is JobState.QUEUED
        assert self.state(completed=2) is JobState.COMPLETED

    def test_a_cancel_is_done_when_nothing_prints_any_more(self) -> None:
        assert self.state(AttemptState.PRINTING, cancelled=True) is JobState.CANCELLING
        assert self.state(cancelled=True) is JobState.CANCELLED
        assert self.state(completed=2, cancelled=True) is JobState.COMPLETED

    def test_a_failure_waits_for_the_other_copies(self) -> None:
        assert self.state(AttemptState.PRINTING, failed=True) is JobState.ACTIVE
        assert self.state(completed=1, failed=True) is JobState.FAILED

    def test_an_unknown_outcome_is_shown_whatever_else_is_known(self) -> None:
        for cancelled, failed in product((False, True), repeat=2):
            state = self.state(AttemptState.UNKNOWN, AttemptState.PRINTING, cancelled=cancelled, failed=failed)
            assert state is JobState.UNKNOWN
