"""What is known of a run: what people did and were told, what the queue holds, and what OctoPrint wrote down.

All moments are Unix times in seconds, by the clock of the one machine that everything runs on.
"""

from dataclasses import dataclass, field

KEPT_CONFIRMATIONS = 100


@dataclass(frozen=True)
class LogLine:
    """A line of an octoprint.log that tells of a print or of the printer."""

    at: float
    printer: int
    kind: str
    """Of a print `started`, `done`, `cancelled`, `paused`, `resumed`; else `ended` (none is on any more) or `boot`."""
    path: str | None
    text: str


@dataclass(frozen=True)
class Confirmation:
    """Somebody said that a printer's bed is clear, and was not refused; perhaps the answer was lost."""

    printer: int
    attempt: str | None
    """Whose print was seen on the bed; None: that of none."""
    seen_at: float
    asked_at: float
    answered_at: float

    def is_of(self, path: str | None, ended_at: float) -> bool:
        """Whether what was seen is the print of `path`, which ended then."""
        return _owns(self.attempt, path) if self.attempt is not None else self.seen_at >= ended_at


@dataclass
class Asked:
    """What became of the requests for one job."""

    name: str
    key: bool
    sent: int = 0
    answered: list[str] = field(default_factory=list)  #: job ids
    cancel_asked: bool = False


@dataclass(frozen=True)
class Job:
    id: str
    name: str
    copies: int
    state: str
    reason: str | None
    ended_at: float | None


@dataclass(frozen=True)
class Attempt:
    id: str
    job: str
    printer: int
    copy: int
    state: str
    reason: str | None
    permitted_at: float | None
    ended_at: float | None
    resolved: bool
    successes: int = 0  #: by OctoPrint's history of its file
    failures: int = 0

    def owns(self, path: str | None) -> bool:
        """Whether OctoPrint's file of that path is this attempt's."""
        return _owns(self.id, path)


def _owns(attempt: str, path: str | None) -> bool:
    return path is not None and path.rpartition("/")[2].partition(".")[0] == attempt


@dataclass(frozen=True)
class Event:
    at: float
    type: str
    subject: str
    data: str


@dataclass
class Facts:
    """Everything about one run. Log lines and confirmations also hold the last ones from before it began."""

    began_at: float = 0.0
    log: list[LogLine] = field(default_factory=list)
    confirmations: list[Confirmation] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    cancelled: dict[str, float] = field(default_factory=dict)
    """When somebody was first told that a job is cancelled."""
    crashes: list[str] = field(default_factory=list)
    """What ended though nobody killed it, processes and loops."""
    stuck: str | None = None
    """What had not ended when the patience did."""

    def last(self) -> "Facts":
        """What the next run has to know: each printer's last print, and the confirmations since."""
        after = Facts()
        for printer in {line.printer for line in self.log}:
            lines = [line for line in self.log if line.printer == printer]
            starts = [number for number, line in enumerate(lines) if line.kind == "started"]
            after.log += lines[starts[-1] :] if starts else []
        after.log.sort(key=lambda line: line.at)
        after.confirmations = self.confirmations[-KEPT_CONFIRMATIONS:]
        return after

    def of(self, job: str) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.job == job]

    def lines(self, attempt: Attempt, kind: str) -> list[LogLine]:
        return [line for line in self.log if line.kind == kind and attempt.owns(line.path)]
