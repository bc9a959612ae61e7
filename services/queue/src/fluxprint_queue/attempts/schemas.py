"""Bodies about attempts: what people read, and what they decide."""

from enum import StrEnum

from pydantic import Field

from fluxprint_common.ids import PrinterId, UserId
from fluxprint_common.schemas import Input, Output, Timestamp
from fluxprint_queue.attempts.states import AttemptState
from fluxprint_queue.ids import AttemptId, JobId


class Attempt(Output):
    """One physical try of one copy on one printer."""

    id: AttemptId
    job_id: JobId
    printer_id: PrinterId
    copy_number: int = Field(ge=1, json_schema_extra={"format": "int32"}, description="Which copy of the job, from 1.")
    state: str = Field(
        max_length=20, examples=["printing"], json_schema_extra={"x-extensible-enum": [str(s) for s in AttemptState]}
    )
    reason: str | None = Field(max_length=100, description="Stable code for how it ended.", examples=["print_failed"])
    detail: str | None = Field(max_length=1000, description="The same for a person.")
    evidence: dict[str, object] | None = Field(
        description="What OctoPrint said, where the outcome had to be found out.",
        json_schema_extra={"maxProperties": 50},
    )
    created_at: Timestamp
    permitted_at: Timestamp | None
    started_at: Timestamp | None
    unknown_at: Timestamp | None = Field(description="Since when nobody can tell what became of it.")
    ended_at: Timestamp | None
    resolved_by: UserId | None = Field(description="Who said what became of it, where no machine could.")
    pictures_path: str = Field(
        max_length=200,
        description="Where the pictures are that a camera took of it, if any: at its start, its end and a failure.",
        examples=["/api/v1/cameras/pictures?attempt_id=attempt_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"],
    )
    timelapses_path: str = Field(
        max_length=200,
        description="Where the timelapses of it are, if any.",
        examples=["/api/v1/cameras/timelapses?attempt_id=attempt_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"],
    )


class Resolution(StrEnum):
    """What a person found at the printer."""

    PRINTED = "printed"
    FAILED_REQUEUE = "failed_requeue"
    FAILED_DROP = "failed_drop"


class AttemptResolve(Input):
    """A person's decision about an attempt whose outcome is unknown."""

    outcome: Resolution = Field(
        description="`printed`: the copy is done. `failed_requeue`: print it again, before jobs that came later."
        " `failed_drop`: this copy is given up; the job's other copies go on, and the job ends as failed."
    )
    bed_is_clear: bool = Field(
        False, description="Say true when the part is off and you have looked: the next print may start."
    )
