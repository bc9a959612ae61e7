"""Bodies of the viewers' routes."""

from pydantic import Field

from fluxprint_common.schemas import Output, Timestamp


class ViewToken(Output):
    """Opens one camera for some minutes: add it to the address as `?token=...`."""

    token: str = Field(max_length=2000, examples=["eyJhbGciOiJIUzI1NiIs..."])
    expires_at: Timestamp
