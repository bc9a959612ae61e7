"""API keys as clients see them."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.ids import ApiKeyId
from fluxprint_common.ids import PrinterId, UserId
from fluxprint_common.permissions import PERSONAL, ROLE_PERMISSIONS, Permission, Role
from fluxprint_common.schemas import Input, Name, Output, Timestamp

_EXAMPLE = "fxk_5Tn9WbQ2xLf7Vd4Rc1Ks8Hj3Gm6Pz0Ya5Eu2Io7Xt4Bq9Nw1Cv6D8"
_NAME_EXAMPLE = "Slicer on the workshop computer"

#: Every permission that some key can have.
GRANTABLE = sorted(ROLE_PERMISSIONS[Role.OWNER] - PERSONAL)

Scopes = Annotated[
    frozenset[Permission],
    Field(
        min_length=1,
        max_length=len(GRANTABLE),
        description="What the key may do, at most: permissions as in the `security` of each operation.",
        examples=[["files:write", "jobs:write"]],
    ),
]
Printers = Annotated[
    frozenset[PrinterId],
    Field(
        min_length=1,
        max_length=100,
        description="Only these printers, what prints on them, and jobs that are for one of them.",
    ),
]


class ApiKeyCreate(Input):
    """A key to be."""

    name: Annotated[Name, Field(examples=[_NAME_EXAMPLE])]
    scopes: Scopes
    printer_ids: Printers | None = None
    expires_at: Timestamp | None = Field(None, description="Null: it works until it is revoked.")


class ApiKey(Output):
    """A key that speaks for who made it, in one organisation, with their role of that moment."""

    id: ApiKeyId
    user_id: UserId = Field(description="Who made it.")
    name: Annotated[Name, Field(examples=[_NAME_EXAMPLE])]
    hint: str = Field(max_length=10, description="Its last characters.", examples=["v6D8"])
    scopes: list[str] = Field(max_length=len(GRANTABLE), examples=[["files:write", "jobs:write"]])
    printer_ids: list[PrinterId] | None = Field(max_length=100, description="Null: every printer.")
    created_at: Timestamp
    expires_at: Timestamp | None = Field(description="When it ends by itself; null: never.")
    last_used_at: Timestamp | None = Field(description="To a few minutes; null: never.")


class ApiKeyCreated(Output):
    """The new key."""

    api_key: ApiKey
    secret: str = Field(
        max_length=200,
        description="The key itself, for the header `X-API-Key`. Shown only now.",
        examples=[_EXAMPLE],
    )
