"""What the other services ask about what outlives access tokens; `fluxprint_common.standing` writes and reads it."""

from uuid import UUID

from pydantic import Field

from fluxprint_common.permissions import Permission
from fluxprint_common.schemas import Input, Output
from fluxprint_common.standing import MAX_GROUNDS


class GroundAsked(Input):
    """A session or an API key; without either, a membership."""

    user_id: UUID
    organisation_id: UUID
    session_id: UUID | None = None
    api_key_id: UUID | None = None


class StandingRequest(Input):
    """What to look at, all at once."""

    grounds: list[GroundAsked] = Field(max_length=MAX_GROUNDS)


class GroundAllows(Output):
    """What one of them allows now."""

    permissions: list[Permission]
    printers: list[str] | None = Field(description="The hexadecimal digits of the only printers; null: any.")


class StandingAnswer(Output):
    """In the order of the request; null: nothing any more."""

    standings: list[GroundAllows | None]
