"""Settings of machine access: `AUTH_*`."""

from pydantic import BaseModel, Field

from fluxprint_auth.limits import Limit


class MachineSettings(BaseModel):
    """What bridges and API keys may do."""

    limit_bridge_token: Limit = "60/minute"  # noqa: S105  (a figure)
    limit_bridges: Limit = "30/hour"
    limit_pairings: Limit = "30/hour"
    limit_pairing_polls: Limit = "300/minute"
    limit_pairing_codes: Limit = "30/10minute"

    api_keys_per_person: int = Field(20, ge=0, le=1000, description="In each organisation; 0: nobody makes keys")
    api_keys_per_organisation: int = Field(200, ge=0, le=10_000)
    limit_api_keys: Limit = "30/hour"
