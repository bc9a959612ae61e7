"""Base classes of request and response bodies."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Input(BaseModel):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


class Output(BaseModel):
    """A response body: every field is always sent, null means unknown; clients must ignore fields they don't know."""

    model_config = ConfigDict(from_attributes=True)


def _in_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


#: A moment as RFC 3339 in UTC, `2026-11-21T10:00:00Z`.
Timestamp = Annotated[datetime, AfterValidator(_in_utc)]

#: A name that people give things: one line, no control characters.
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]

Seconds = Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})]
