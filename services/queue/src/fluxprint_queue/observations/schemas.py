"""What the camera service tells."""

from enum import StrEnum

from pydantic import AwareDatetime, Field, JsonValue

from fluxprint_common.ids import OrganisationId, PrinterId, UserId
from fluxprint_common.schemas import Input, Output
from fluxprint_queue.ids import AttemptId, CameraId, DecisionId, JobId


class Observation(Input):
    """Trouble that was seen at a printer, or its end. Told again, it is the same one."""

    id: DecisionId
    has_ended: bool
    organisation_id: OrganisationId
    printer_id: PrinterId
    camera_id: CameraId
    attempt_id: AttemptId | None
    job_id: JobId | None
    type: str = Field(max_length=60, pattern=r"^camera\.[a-z_]+$")
    data: dict[str, JsonValue] = Field(max_length=50)
    pause_for: UserId | None = Field(description="In whose name the attempt is to be paused; null: not at all")
    pause_until: AwareDatetime | None = Field(description="From then on it is not paused any more")


class Outcome(StrEnum):
    NOTIFIED = "notified"
    PAUSE_ORDERED = "pause_ordered"
    NOT_PRINTING = "not_printing"
    TOO_LATE = "too_late"


class Observed(Output):
    """What became of it."""

    outcome: Outcome
