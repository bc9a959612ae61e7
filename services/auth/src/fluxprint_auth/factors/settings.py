"""Settings of second factors: `AUTH_*`."""

from pydantic import BaseModel, Field

from fluxprint_auth.limits import Limit


class FactorSettings(BaseModel):
    """How second factors look in apps, and what guessing costs."""

    second_factor_issuer: str = Field(
        "FluxPrint", min_length=1, max_length=50, pattern="^[^:]+$", description="The name that apps show"
    )
    limit_second_factor: Limit = "30/5minute"
    limit_reauthenticate: Limit = "20/15minute"
