"""A job's states, and how they follow from its attempts. Used by the code, the CHECK constraint and the tests."""

from collections.abc import Collection
from enum import StrEnum

from fluxprint_queue.attempts.states import AttemptState


class JobState(StrEnum):
    QUEUED = "queued"
    ACTIVE = "active"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED})
OPEN = frozenset(JobState) - ENDED
CLAIMABLE = frozenset({JobState.QUEUED, JobState.ACTIVE})


def job_state(
    *, copies: int, completed: int, live: Collection[AttemptState], cancel_requested: bool, failed: bool
) -> JobState:
    """The state that follows from the copies, the live attempts, and what was decided about the job.

    Args:
        live: the states of the job's live attempts.
        failed: a copy failed for good; no other copy will start, but those that print end first.
    """
    if AttemptState.UNKNOWN in live:
        return JobState.UNKNOWN
    if completed >= copies:
        return JobState.COMPLETED
    if cancel_requested:
        return JobState.CANCELLING if live else JobState.CANCELLED
    if failed:
        return JobState.ACTIVE if live else JobState.FAILED
    return JobState.ACTIVE if live else JobState.QUEUED
