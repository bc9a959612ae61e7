"""Bodies of the jobs routes."""

from typing import Annotated

from pydantic import Field

from fluxprint_common.ids import PrinterId, UserId
from fluxprint_common.schemas import Input, Name, Output, Timestamp
from fluxprint_queue.commands.schemas import Command
from fluxprint_queue.ids import FileId, JobId
from fluxprint_queue.jobs.states import JobState

Copies = Annotated[int, Field(ge=1, le=1000, strict=True, json_schema_extra={"format": "int32"})]
Priority = Annotated[int, Field(ge=0, le=100, strict=True, json_schema_extra={"format": "int32"})]


class JobCreate(Input):
    """What is to be printed."""

    file_id: FileId
    name: Name | None = Field(None, description="The file's name where absent.")
    copies: Copies = 1
    priority: Priority = Field(50, description="A higher one prints first; equal ones in the order of creation.")
    printer_id: PrinterId | None = Field(
        None,
        description="Only on this printer; on any of the organisation where absent. An API key for one printer means"
        " that one; one for several must say which.",
    )


class Job(Output):
    """A job and how far it is."""

    id: JobId
    name: str = Field(max_length=200)
    file_id: FileId
    printer_id: PrinterId | None
    priority: int = Field(ge=0, le=100, json_schema_extra={"format": "int32"})
    copies: int = Field(ge=1, le=1000, json_schema_extra={"format": "int32"})
    copies_completed: int = Field(ge=0, le=1000, json_schema_extra={"format": "int32"})
    copies_dropped: int = Field(
        ge=0, le=1000, json_schema_extra={"format": "int32"}, description="Given up by a person."
    )
    state: str = Field(
        max_length=20, examples=["active"], json_schema_extra={"x-extensible-enum": [str(s) for s in JobState]}
    )
    reason: str | None = Field(
        max_length=100, description="Stable code for why it failed, was cancelled, or is unknown."
    )
    detail: str | None = Field(max_length=1000, description="The same for a person.")
    created_by: UserId
    created_at: Timestamp
    ended_at: Timestamp | None


class CommandList(Output):
    """The orders that were given to the bridges, one for each print that runs."""

    items: list[Command] = Field(max_length=1000)
