"""Bodies of a bridge's calls; docs/protocol.md is the contract."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, field_validator

from fluxprint_common.ids import PrinterId
from fluxprint_common.schemas import Input, Output
from fluxprint_queue.attempts.states import ReportKind
from fluxprint_queue.files.schemas import Sha256
from fluxprint_queue.ids import AttemptId, CommandId, JobId

#: Shorter than a permit is valid: it counts from before the claim. And than Traefik waits for an answer.
MAX_WAIT_S = 25
MAX_EVIDENCE_CHARS = 16 * 1024

Fence = Annotated[int, Field(ge=1, le=2**63 - 1, strict=True, json_schema_extra={"format": "int64"})]


def _of_a_bridge(reason: str) -> str:
    if reason.startswith("resolved_"):
        raise ValueError("resolved_ is for what a person decided")
    return reason


Reason = Annotated[str, Field(max_length=100, pattern=r"^[a-z][a-z0-9_]*$"), AfterValidator(_of_a_bridge)]


class BridgePrinter(Output):
    """A printer that this bridge is to reach."""

    id: PrinterId
    name: str = Field(max_length=100)
    enabled: bool


class BridgePrinterList(Output):
    """The printers of a bridge."""

    items: list[BridgePrinter] = Field(max_length=500)


class StagedFile(Input):
    """A file that stands in OctoPrint already, under an attempt id that `next` gave."""

    attempt_id: AttemptId
    sha256: Sha256


class Claim(Input):
    """Asking for work; the journal is the bridge's durable memory."""

    journal_id: UUID
    staged: StagedFile | None = None
    adopt_only: bool = Field(False, description="Take over the attempt that lives; open no new one.")
    ready: bool = Field(
        False,
        description="The bridge has just looked: what is staged is whole, its printer idle. An attempt that gets its id"
        " has its permit at once.",
    )
    wait_s: float = Field(0, ge=0, le=MAX_WAIT_S, description="Answer when there is work, or after so long.")


class AssignedAttempt(Output):
    """An attempt as its bridge holds it."""

    id: AttemptId
    state: str = Field(max_length=20, examples=["claimed"])
    fence: int = Field(ge=1, json_schema_extra={"format": "int64"})
    lease_expires_in_s: float = Field(description="Not positive: it ran out.")
    same_journal: bool = Field(description="Whether the journal that holds the attempt is the caller's.")
    job_id: JobId
    copy_number: int = Field(ge=1, json_schema_extra={"format": "int32"})


class AssignedFile(Output):
    """What is to be printed."""

    sha256: Sha256
    size_bytes: int = Field(ge=1, json_schema_extra={"format": "int64"})
    name: str = Field(max_length=200)
    extension: str = Field(max_length=10, examples=["gcode"])


class Assignment(Output):
    """Work for a printer."""

    attempt: AssignedAttempt
    file: AssignedFile
    permit_valid_s: int | None = Field(
        ge=1,
        json_schema_extra={"format": "int32"},
        description="The permit came with the claim: start may be pressed so long after the look before it.",
    )


class NextFile(Output):
    """What to bring to the printer ahead of time, and the id that its attempt may get."""

    attempt_id: AttemptId
    file: AssignedFile


class LeaseRenewal(Input):
    fence: Fence


class Lease(Output):
    """The lease as renewed."""

    lease_expires_in_s: float


class PermitRequest(Input):
    """Asking to press start."""

    fence: Fence
    journal_id: UUID


class Permit(Output):
    """Leave to press start, within so many seconds of asking."""

    attempt_id: AttemptId
    fence: int = Field(ge=1, json_schema_extra={"format": "int64"})
    permit_valid_s: int = Field(ge=1, json_schema_extra={"format": "int32"})


class AttemptReport(Input):
    """What happened at the printer."""

    fence: Fence
    report_id: UUID
    kind: ReportKind
    reason: Reason | None = None
    detail: Annotated[str, Field(max_length=1000)] | None = None
    evidence: dict[str, object] = Field(
        default_factory=dict, description="What OctoPrint said, at most 16 kB.", json_schema_extra={"maxProperties": 50}
    )

    @field_validator("evidence")
    @classmethod
    def _bounded(cls, value: dict[str, object]) -> dict[str, object]:
        if len(str(value)) > MAX_EVIDENCE_CHARS:
            raise ValueError(f"evidence may have at most {MAX_EVIDENCE_CHARS} characters")
        return value


class ReportedAttempt(Output):
    """The attempt as the queue sees it now."""

    id: AttemptId
    state: str = Field(max_length=20, examples=["printing"])
    fence: int = Field(ge=1, json_schema_extra={"format": "int64"})


class ForeignPrint(Input):
    """A print that is not ours was seen on the printer."""

    file_name: str = Field(max_length=300)


class BridgeCommand(Output):
    """An order that waits."""

    id: CommandId
    attempt_id: AttemptId
    kind: str = Field(max_length=20, examples=["pause"])
    expires_in_s: int = Field(ge=0, json_schema_extra={"format": "int32"})


class BridgeCommandList(Output):
    """Orders that wait for a printer, oldest first."""

    items: list[BridgeCommand] = Field(max_length=100)


class CommandResult(Input):
    """What became of an order."""

    state: Literal["succeeded", "failed"]
    detail: Annotated[str, Field(max_length=1000)] | None = None
