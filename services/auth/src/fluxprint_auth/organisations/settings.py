"""Settings of organisations: `AUTH_*`."""

from pydantic import BaseModel, Field

from fluxprint_auth.limits import Limit


class OrganisationSettings(BaseModel):
    """What one person may do to an organisation."""

    organisations_per_person: int = Field(20, ge=1, le=10_000, description="That one person owns")
    invitation_s: int = Field(7 * 86400, ge=3600, le=90 * 86400, description="How long an invitation can be accepted")
    invitations_open: int = Field(200, ge=1, le=10_000, description="Of one organisation at a time")
    security_events_kept_days: int = Field(400, ge=30, le=36_500)

    limit_organisations: Limit = "10/hour"
    limit_members: Limit = "60/hour"
    limit_invitations: Limit = "60/hour"
    limit_invitations_address: Limit = "10/day"
    limit_invitation_use: Limit = "30/15minute"
    limit_administration: Limit = "120/minute"
