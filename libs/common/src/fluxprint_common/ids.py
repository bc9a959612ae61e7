"""Identifiers: UUIDv7 in the database (RFC 9562: sorted by time), `prefix_<32 hex digits>` in the API."""

from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import uuid_utils.compat
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


def new_id() -> UUID:
    """A UUIDv7."""
    return uuid_utils.compat.uuid7()


def was_made(value: UUID) -> bool:
    """Whether an id that comes from outside can be one of `new_id`: a UUIDv7 whose time is not to come."""
    return value.version == 7 and value.int >> 80 <= new_id().int >> 80


def show(prefix: str, value: UUID) -> str:
    """An id as clients see it."""
    return f"{prefix}_{value.hex}"


@dataclass(frozen=True)
class Prefixed:
    """Field metadata for the ids of one kind: `JobId = Annotated[UUID, Prefixed("job")]`."""

    prefix: str

    def parse(self, value: object) -> UUID:
        if isinstance(value, UUID):
            return value
        head, _, digits = str(value).partition("_")
        if head != self.prefix or len(digits) != 32 or digits.strip("0123456789abcdef"):
            raise ValueError(f"an id of this kind looks like {self.prefix}_ and 32 hexadecimal digits")
        return UUID(hex=digits)

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: show(self.prefix, value), return_schema=core_schema.str_schema()
            ),
        )

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "type": "string",
            "pattern": f"^{self.prefix}_[0-9a-f]{{32}}$",
            "maxLength": len(self.prefix) + 33,
            "examples": [f"{self.prefix}_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"],
        }


# Kinds that more than one service speaks of; a service's own kinds stand in its schemas.
OrganisationId = Annotated[UUID, Prefixed("org")]
UserId = Annotated[UUID, Prefixed("user")]
SessionId = Annotated[UUID, Prefixed("session")]
BridgeId = Annotated[UUID, Prefixed("bridge")]
PrinterId = Annotated[UUID, Prefixed("printer")]
EventId = Annotated[UUID, Prefixed("event")]
