"""Bodies of the printers routes."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema

from fluxprint_common.ids import BridgeId, PrinterId
from fluxprint_common.schemas import Input, Name, Output, Timestamp
from fluxprint_queue.ids import AttemptId, JobId
from fluxprint_queue.telemetry.schemas import Telemetry

Model = Annotated[str, Field(min_length=1, max_length=100, examples=["MK3S"])]


class PrinterCreate(Input):
    """A printer and the bridge that reaches it."""

    name: Name = Field(examples=["Bench left"])
    bridge_id: BridgeId
    model: Model | None = None
    bed_is_clear: bool = Field(False, description="Say true when you have looked: the bed is empty and ready.")


class PrinterUpdate(Input):
    """What changes; absent stays."""

    name: Name | SkipJsonSchema[None] = None
    model: Model | None = Field(None, description="null: nobody says.")
    enabled: bool | SkipJsonSchema[None] = Field(None, description="false: no new print starts; one that runs goes on.")
    bridge_id: BridgeId | SkipJsonSchema[None] = Field(
        None, description="Another bridge reaches it from now on; only while nothing prints."
    )

    @field_validator("name", "enabled", "bridge_id")
    @classmethod
    def _kept(cls, value: object, field: ValidationInfo) -> object:
        if value is None:  # absent is not checked
            raise ValueError(f"a printer has a value for {field.field_name}: leave it out to keep it")
        return value


class BedCleared(Input):
    """Which print was taken off. A confirmation for one print never clears the bed of a later one."""

    attempt_id: AttemptId | None = Field(None, description="As `bed.attempt_id` of the printer says.")
    changed_at: Timestamp | None = Field(
        None, description="As `bed.changed_at` says; needed where `bed.attempt_id` is null."
    )


class Bed(Output):
    """The bed: a print starts only on one that is confirmed clear."""

    state: str = Field(
        max_length=20, examples=["clear"], json_schema_extra={"x-extensible-enum": ["clear", "occupied"]}
    )
    attempt_id: AttemptId | None = Field(
        description="Whose print occupies it; null for one that is not ours, or not confirmed yet."
    )
    changed_at: Timestamp


class Hold(Output):
    """Why a printer takes no work before a person has said what became of a print, and how to say it."""

    attempt_id: AttemptId
    job_id: JobId
    since: Timestamp
    reason: str | None = Field(max_length=100, examples=["not_decidable"])
    detail: str | None = Field(max_length=1000, description="The same for a person, with what was last seen.")
    resolve_path: str = Field(
        max_length=200,
        description='Where to POST the decision: `{"outcome": "printed" | "failed_requeue" | "failed_drop",'
        ' "bed_is_clear": true}`.',
    )


class Printer(Output):
    """A printer as its bridge shows it."""

    id: PrinterId
    name: str = Field(max_length=100)
    model: str | None = Field(max_length=100)
    bridge_id: BridgeId
    enabled: bool
    connection: str = Field(
        max_length=30,
        examples=["online"],
        json_schema_extra={"x-extensible-enum": ["online", "printer_offline", "octoprint_offline", "offline"]},
    )
    last_seen_at: Timestamp | None
    bed: Bed
    held: Hold | None = Field(description="Set while a person has to say what became of a print.")
    telemetry: Telemetry | None = Field(description="The newest that the bridge sent; null before the first.")
    created_at: Timestamp
