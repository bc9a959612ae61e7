"""What the queue service tells other services of prints: asked at `/internal/prints`, inside the network only."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import BaseModel, Field

PATH = "/internal/prints"
MAX_PRINTS = 5_000
MAX_PRINTERS = 10_000


class PrintState(StrEnum):
    """A print as who looks at it needs it: the attempt's state (docs/protocol.md), from the permit on."""

    STARTING = "starting"
    PRINTING = "printing"
    PAUSED = "paused"
    UNKNOWN = "unknown"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RELEASED = "released"

    @property
    def runs(self) -> bool:
        """Whether the machine is at it, as far as anybody knows."""
        return self in {PrintState.PRINTING, PrintState.PAUSED}

    @property
    def is_failure(self) -> bool:
        """Whether somebody will want to know how it came to this. Nobody can tell what became of an unknown one."""
        return self in {PrintState.FAILED, PrintState.UNKNOWN}


class Print(BaseModel):
    """One attempt.

    Attributes:
        ended_at: also since when its outcome is unknown.
        progress: 0 to 1, and `height_mm` of the nozzle: as the printer said at `told_at`, None where it does not.
    """

    attempt_id: UUID
    job_id: UUID
    printer_id: UUID
    organisation_id: UUID
    state: PrintState
    reason: str | None
    started_at: datetime | None
    ended_at: datetime | None
    progress: float | None
    height_mm: float | None
    told_at: datetime | None = None


class PrintsQuery(BaseModel):
    """What is asked for beside what goes on.

    Attributes:
        attempt_ids: attempts that are wanted whatever has become of them.
        printer_ids: printers whose bridges are wanted.
    """

    attempt_ids: list[UUID] = Field(default_factory=list, max_length=MAX_PRINTS)
    printer_ids: list[UUID] = Field(default_factory=list, max_length=MAX_PRINTERS)


class Prints(BaseModel):
    """Every print that goes on, and those that were asked for. One that is missing does not exist.

    Attributes:
        bridges: of the printers that were asked for, by the printer; one that is missing was deleted. None: not said.
    """

    prints: list[Print] = Field(max_length=2 * MAX_PRINTS)
    bridges: dict[UUID, UUID] | None = Field(None, max_length=MAX_PRINTERS)
