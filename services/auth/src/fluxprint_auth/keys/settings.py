"""Settings of the signing keys that are kept in the database: `AUTH_*`."""

from pydantic import BaseModel, Field


class KeySettings(BaseModel):
    """How a rotation takes its time, in seconds."""

    signing_key_lead_s: int = Field(
        600, ge=0, le=86400, description="A new key is published so long before it signs: verifiers keep a set for 300"
    )
    signing_key_reload_s: float = Field(5, gt=0, le=60, description="How often each process looks for a rotation")
