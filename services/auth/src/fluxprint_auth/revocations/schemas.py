"""Revocations as the other services see them; `fluxprint_common.revocations` reads them."""

from pydantic import Field

from fluxprint_common.schemas import Output

LIMIT = 1000


class RevokedTokens(Output):
    """Tokens of one `sid`."""

    sid: str = Field(max_length=32, description="The hexadecimal digits of the id, whatever it is the id of.")
    before: float | None = Field(description="Those made until then, in seconds since 1970; null: all of them.")


class RevocationBatch(Output):
    """Revocations, oldest first."""

    revocations: list[RevokedTokens] = Field(max_length=LIMIT)
    after: int = Field(description="What to ask with next time.")
    more: bool = Field(description="Whether next time is now.")
