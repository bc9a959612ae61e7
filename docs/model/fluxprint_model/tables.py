"""The queue's tables, as immutable tuples."""

from typing import NamedTuple

from fluxprint_model.plants import Plant
from fluxprint_queue.attempts.schemas import Resolution
from fluxprint_queue.attempts.states import AttemptState
from fluxprint_queue.commands.states import CommandKind, CommandState
from fluxprint_queue.jobs.states import JobState


class Refused(Exception):
    """The queue says no; `code` is the problem's code of the API."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Rules(NamedTuple):
    """Settings of the queue, and what was planted."""

    max_releases: int = 5
    plants: frozenset[Plant] = frozenset()


class Job(NamedTuple):
    copies: int = 1
    copies_open: int = 1
    completed: int = 0
    dropped: int = 0
    releases: int = 0
    state: JobState = JobState.QUEUED
    cancel_requested: bool = False
    failed: bool = False
    priority: int = 50
    printer: int = -1  #: only there; anywhere where negative


class Attempt(NamedTuple):
    job: int
    copy: int
    printer: int
    journal: int
    state: AttemptState = AttemptState.CLAIMED
    fence: int = 1  #: grows with each adoption; the service's grows over all attempts, which makes no difference
    lease: bool = True  #: has not run out, by the database's clock
    started: bool = False  #: was reported so
    resolved: Resolution | None = None  #: what a person decided


class Bed(NamedTuple):
    clear: bool = True
    attempt: int = -1
    version: int = 1  #: stands for `bed_changed_at`


class Command(NamedTuple):
    attempt: int
    kind: CommandKind
    state: CommandState = CommandState.PENDING


class Queue(NamedTuple):
    """The tables."""

    jobs: tuple[Job, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    beds: tuple[Bed, ...] = (Bed(),)
    commands: tuple[Command, ...] = ()
    taken: frozenset[tuple[int, int]] = frozenset()  #: (attempt, report id)


class Given(NamedTuple):
    """The answer to a claim."""

    attempt: int
    state: AttemptState
    fence: int
    same_journal: bool
    permitted: bool = False  #: the permit came with the claim
