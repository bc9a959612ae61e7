"""How rate limits are written in settings."""

from typing import Annotated

from pydantic import Field

Limit = Annotated[str, Field(pattern=r"^\d{1,6}/\d{0,4}(second|minute|hour|day)$")]
"""A figure for slowapi, such as `30/5minute`."""
