"""Settings of organisations: `AUTH_*`."""

from pydantic import BaseModel

from fluxprint_auth.limits import Limit


class OrganisationSettings(BaseModel):
    """What one person may do to an organisation."""

    limit_members: Limit = "60/hour"
