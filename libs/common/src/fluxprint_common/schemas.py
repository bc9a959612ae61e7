"""Base classes of request and response bodies."""

import math
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator

MAX_DEPTH = 12


def refuse_unstorable(value: object, depth: int = MAX_DEPTH) -> object:
    """The value, unless it holds what PostgreSQL's text or JSON can't: a zero byte, half a surrogate pair, NaN.

    Raises:
        ValueError: also where it is nested deeper than `depth`.
    """
    if depth < 0:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    match value:
        case str():
            if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
                raise ValueError("a text with a zero byte or half a surrogate pair")
        case float() if not math.isfinite(value):
            raise ValueError("a number that is not finite")
        case dict():
            for key, item in value.items():
                refuse_unstorable(key, depth - 1)
                refuse_unstorable(item, depth - 1)
        case list():
            for item in value:
                refuse_unstorable(item, depth - 1)
    return value


class Received(BaseModel):
    """What comes from outside and may be stored."""

    @field_validator("*", mode="before")
    @classmethod
    def _storable(cls, value: object) -> object:
        return refuse_unstorable(value)


class Input(Received):
    """A request body: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True)


class Output(BaseModel):
    """A response body: every field is always sent, null means unknown; clients must ignore fields they don't know."""

    model_config = ConfigDict(from_attributes=True)


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a moment outside of the calendar") from None


#: A moment as RFC 3339 in UTC, `2026-11-21T10:00:00Z`.
Timestamp = Annotated[datetime, AfterValidator(_in_utc)]

#: A name that people give things: one line, no control characters.
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]

Seconds = Annotated[int, Field(ge=0, le=2**31 - 1, json_schema_extra={"format": "int32"})]
