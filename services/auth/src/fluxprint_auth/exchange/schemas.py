"""What the other services ask with."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from fluxprint_common.exchange import MAX_AGENT_CHARS, MAX_CREDENTIAL_CHARS
from fluxprint_common.schemas import Input, Output, Seconds

_Credential = Annotated[SecretStr, Field(min_length=1, max_length=MAX_CREDENTIAL_CHARS)]


class ExchangeRequest(Input):
    """A credential that a service received, and from whom."""

    api_key: _Credential | None = None
    outside_token: _Credential | None = None
    address: str = Field("", max_length=100)
    agent: str = Field("", max_length=MAX_AGENT_CHARS)

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.api_key is None) == (self.outside_token is None):
            raise ValueError("api_key or outside_token, exactly one")
        return self


class ExchangeAnswer(Output):
    """An access token for it."""

    access_token: str = Field(max_length=4096)
    expires_in_s: Seconds
