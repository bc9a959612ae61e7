"""What this process saw of a print, in words for a person who has to find out what became of it. Times are UTC."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from fluxprint_bridge.journal import Attempt
from fluxprint_bridge.octoprint.log import LogTrace
from fluxprint_bridge.octoprint.outcome import Finding, Verdict
from fluxprint_bridge.octoprint.state import Job, StoredFile


@dataclass(frozen=True)
class Glimpse:
    """The printer at work on it; `completion` is 0..100."""

    at: str
    text: str
    completion: float | None
    print_time_s: float | None


@dataclass
class Notes:
    """Kept in memory only: the journal's own moment stands in for what a process before this one saw."""

    journal: Attempt | None = None  #: as a process before this one left it
    last_seen: Glimpse | None = None
    silent_from: str | None = None  #: OctoPrint did not answer then, the last time
    silent_until: str | None = None

    def saw(self, job: Job) -> None:
        """It is being printed."""
        self.last_seen = Glimpse(_now(), job.text, job.completion, job.print_time_s)

    def silent(self) -> None:
        """OctoPrint does not answer."""
        if self.silent_from is None or self.silent_until is not None:
            self.silent_from, self.silent_until = _now(), None

    def answered(self) -> None:
        """OctoPrint answers."""
        if self.silent_from is not None and self.silent_until is None:
            self.silent_until = _now()

    def detail(self, finding: Finding, trace: LogTrace | None) -> str | None:
        """The finding's sentence, and for an unknown outcome what there is to go by."""
        if finding.verdict is not Verdict.UNKNOWN:
            return finding.detail
        parts = [finding.detail, self._last_seen(), self._silence(), trace and trace.as_sentence(), "Look at the bed."]
        return " ".join(part for part in parts if part)

    def evidence(
        self, attempt: Attempt, *, job: Job, file: StoredFile | None, trace: LogTrace | None
    ) -> dict[str, object]:
        """All facts, for the report."""
        return {
            "decided_at": _now(),
            "path": attempt.path,
            "last_seen": asdict(self.last_seen) if self.last_seen else None,
            "octoprint_silent": {"from": self.silent_from, "until": self.silent_until} if self.silent_from else None,
            "journal": {"state": self.journal.state, "at": _shown(self.journal.noted_at)} if self.journal else None,
            "job": asdict(job),
            "file": file.model_dump() if file else None,
            "events": attempt.seen.as_json(),
            "octoprint_log": asdict(trace) if trace else None,
        }

    def _last_seen(self) -> str | None:
        if (seen := self.last_seen) is not None:
            done = f", {seen.completion:.0f} %" if seen.completion is not None else ""
            return f"It was last seen at {seen.at}: {seen.text}{done}."
        if self.journal is not None:
            noted = f"'{self.journal.state}' at {_shown(self.journal.noted_at)}"
            return f"The bridge was restarted; before that it noted {noted}."
        return None

    def _silence(self) -> str | None:
        if self.silent_from is None or self.silent_until is None:
            return None
        return f"OctoPrint did not answer from {self.silent_from} to {self.silent_until}."


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _shown(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
