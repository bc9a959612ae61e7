"""Settings of sessions: `AUTH_*`."""

from enum import StrEnum

from pydantic import BaseModel, Field

from fluxprint_auth.limits import Limit


class FingerprintChange(StrEnum):
    """What follows when a refresh comes from a client that looks like another one."""

    AUDIT = "audit"
    REFUSE = "refuse"


class SessionSettings(BaseModel):
    """How long tokens and sessions last, in seconds."""

    access_token_s: int = Field(900, ge=60, le=3600)
    refresh_token_s: int = Field(7 * 86400, ge=60, le=90 * 86400, description="Each refresh extends it")
    session_max_s: int = Field(30 * 86400, ge=60, le=365 * 86400, description="However often it is refreshed")
    refresh_grace_s: int = Field(10, ge=0, le=60, description="A token just rotated gets the same successor again")
    fresh_within_s: int = Field(600, ge=60, le=3600, description="Sensitive changes need a sign-in no older than this")

    fingerprint_change: FingerprintChange = FingerprintChange.AUDIT

    limit_refresh: Limit = "120/minute"
