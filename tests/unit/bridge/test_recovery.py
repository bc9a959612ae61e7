"""Where to go on after a crash: the table of docs/protocol.md."""

import pytest

from fluxprint_bridge.journal import Step
from fluxprint_bridge.printer.recovery import Next, attempt_of, next_step, print_path

MAYBE_STARTED = ["starting", "printing", "paused", "unknown"]


class TestNextStep:
    @pytest.mark.parametrize("journal", [None, Step.CLAIMED])
    def test_a_claim_of_our_own_goes_on(self, journal: Step | None) -> None:
        assert next_step(journal=journal, queue="claimed", same_journal=True) is Next.TRANSFER

    @pytest.mark.parametrize("journal", [None, *Step])
    def test_a_claim_of_another_journal_is_given_back(self, journal: Step | None) -> None:
        assert next_step(journal=journal, queue="claimed", same_journal=False) is Next.RELEASE

    @pytest.mark.parametrize("journal", [Step.CLAIMED, Step.PERMITTED])
    def test_permitted_without_intent_is_started(self, journal: Step) -> None:
        assert next_step(journal=journal, queue="starting", same_journal=True) is Next.PERMIT

    @pytest.mark.parametrize("queue", MAYBE_STARTED)
    @pytest.mark.parametrize("journal", [Step.STARTING, Step.PRINTING, Step.UNKNOWN, Step.ENDED])
    def test_with_intent_only_octoprint_knows(self, queue: str, journal: Step) -> None:
        assert next_step(journal=journal, queue=queue, same_journal=True) is Next.LOOK

    @pytest.mark.parametrize("queue", MAYBE_STARTED)
    @pytest.mark.parametrize("journal", [None, *Step])
    def test_another_journal_may_have_pressed_start(self, queue: str, journal: Step | None) -> None:
        assert next_step(journal=journal, queue=queue, same_journal=False) is Next.LOOK

    def test_a_journal_that_forgot_the_attempt_proves_nothing(self) -> None:
        assert next_step(journal=None, queue="starting", same_journal=True) is Next.LOOK


class TestPrintPath:
    ATTEMPT = "attempt_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"

    def test_it_is_the_same_without_a_journal(self) -> None:
        assert print_path(self.ATTEMPT, "gcode") == f"fluxprint/2024-12/{self.ATTEMPT}.gcode"

    def test_it_names_its_attempt(self) -> None:
        assert attempt_of(print_path(self.ATTEMPT, "gco")) == self.ATTEMPT

    @pytest.mark.parametrize("path", [None, "by_hand.gcode", "fluxprint/notes.gcode", "attempt_1.gcode"])
    def test_other_files_are_nobodys(self, path: str | None) -> None:
        assert attempt_of(path) is None
