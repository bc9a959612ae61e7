"""Settings of sign-in with Google, GitHub, Apple and others: `AUTH_*`."""

from pydantic import BaseModel


class ProviderSettings(BaseModel):
    """Who else may say who somebody is."""
