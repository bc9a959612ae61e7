"""The envelope of an event: what every transition leaves behind, for streams, webhooks and audit."""

from typing import Annotated

from pydantic import Field

from fluxprint_common.ids import EventId, OrganisationId
from fluxprint_common.schemas import Output, Timestamp

#: Rung in Redis whenever somebody's transaction left an event; says nothing but that there is one.
WAKE_CHANNEL = "fluxprint:events"

EventType = Annotated[str, Field(max_length=60, pattern=r"^[a-z_]+\.[a-z_]+$", examples=["job.created"])]


class Event(Output):
    """Something that happened. Clients must ignore types that they don't know."""

    id: EventId
    sequence: int = Field(
        ge=1, le=2**63 - 1, json_schema_extra={"format": "int64"}, description="Grows; resume after it."
    )
    type: EventType
    subject: str = Field(
        max_length=100, description="The id of what it is about.", examples=["job_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"]
    )
    organisation_id: OrganisationId
    at: Timestamp
    data: dict[str, object] = Field(description="Facts of this type of event.", json_schema_extra={"maxProperties": 50})
