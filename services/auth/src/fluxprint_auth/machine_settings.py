"""Settings of machine access: `AUTH_*`."""

from pydantic import BaseModel

from fluxprint_auth.limits import Limit


class MachineSettings(BaseModel):
    """What bridges and API keys may do."""

    limit_bridge_token: Limit = "60/minute"  # noqa: S105  (a figure)
    limit_bridges: Limit = "30/hour"
