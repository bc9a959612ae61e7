"""Settings of view tokens and shares: `CAMERA_*`."""

from pydantic import BaseModel, Field

_RATE = r"^\d+/(second|minute|hour|day)$"


class ShareSettings(BaseModel):
    """How long what was given may be used, and how often it may be tried."""

    view_renewable_s: int = Field(43_200, ge=10, le=604_800, description="So long after the first token of its line")
    grant_check_s: float = Field(60, ge=0.1, le=300, description="How often auth is asked about what is open")
    max_shares_per_camera: int = Field(20, ge=1, le=1000)
    limit_share_guesses: str = Field("20/minute", pattern=_RATE, description="Of unknown links, by address")
    limit_shares: str = Field("30/minute", pattern=_RATE, description="Made, by person")
