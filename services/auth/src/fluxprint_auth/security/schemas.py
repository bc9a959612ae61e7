"""Security events as clients see them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import Field

from fluxprint_auth.security.events import Outcome
from fluxprint_auth.security.models import SecurityEventRow
from fluxprint_auth.security.repository import Wanted
from fluxprint_common.ids import BridgeId, EventId, OrganisationId, SessionId, UserId
from fluxprint_common.schemas import Output, Timestamp

Moment = Annotated[Timestamp, Field(json_schema_extra={"maxLength": 40})]


class Filter:
    """Which events are wanted."""

    def __init__(
        self,
        type: Annotated[str | None, Query(pattern=r"^[a-z_]+$", max_length=60, examples=["auth_login_failed"])] = None,
        outcome: Outcome | None = None,
        since: Annotated[Moment | None, Query(alias="from", description="At this moment or later.")] = None,
        until: Annotated[Moment | None, Query(alias="to", description="Before this moment.")] = None,
    ) -> None:
        self._type = type
        self._outcome = outcome
        self._since: datetime | None = since
        self._until: datetime | None = until

    def of(self, *, organisation_id: UUID | None = None, user_id: UUID | None = None) -> Wanted:
        """What to look for, within these bounds."""
        return Wanted(
            organisation_id=organisation_id,
            user_id=user_id,
            type=self._type,
            outcome=self._outcome,
            since=self._since,
            until=self._until,
        )


class RecordedEvent(Output):
    """Something that happened to an account, a session, an organisation, a key or a bridge."""

    id: EventId
    type: str = Field(
        max_length=60, description="An open list: more names may come.", examples=["auth_login_succeeded"]
    )
    created_at: Timestamp
    outcome: Outcome
    reason: str | None = Field(max_length=100, description="Of a failure: a word for machines.")
    organisation_id: OrganisationId | None
    actor_id: UserId | None = Field(description="Who did it.")
    user_id: UserId | None = Field(description="Whom it happened to.")
    session_id: SessionId | None
    bridge_id: BridgeId | None
    address: str | None = Field(max_length=100, description="Where the request came from.")
    agent: str | None = Field(max_length=300, description="What the client said it is: nobody checked that.")
    data: dict[str, str | int] = Field(description="What else is known; its names depend on the type.")


def show_event(row: SecurityEventRow) -> RecordedEvent:
    """An event as clients see it."""
    return RecordedEvent.model_validate(row)
