"""Settings of sign-in with Google, GitHub, Apple and others: `AUTH_PROVIDER_*`."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr, model_validator

from fluxprint_auth.limits import Limit

#: Made by the providers, so that their strength is not ours to judge.
FOREIGN_SECRETS = frozenset(
    {"provider_google_client_secret", "provider_github_client_secret", "provider_oidc_client_secret"}
)
_HTTPS = r"^https?://[^\s?#]+[^\s?#/]$"


class ProviderSettings(BaseModel):
    """Who else may say who somebody is. Each is off until its client id is set."""

    provider_google_client_id: str | None = None
    provider_google_client_secret: SecretStr | None = None

    provider_github_client_id: str | None = None
    provider_github_client_secret: SecretStr | None = None
    provider_github_url: str = Field("https://github.com", pattern=_HTTPS, description="Or a GitHub Enterprise Server")
    provider_github_api_url: str = Field("https://api.github.com", pattern=_HTTPS)

    provider_apple_client_id: str | None = Field(None, description="The Services ID")
    provider_apple_team_id: str | None = None
    provider_apple_key_id: str | None = None
    provider_apple_key: SecretStr | None = Field(None, description="The private key that Apple gave, as PEM")
    provider_apple_key_file: Path | None = None

    provider_oidc_issuer: str | None = Field(None, pattern=_HTTPS, description="Any OpenID Connect provider")
    provider_oidc_client_id: str | None = None
    provider_oidc_client_secret: SecretStr | None = None
    provider_oidc_title: str = Field("Single sign-on", min_length=1, max_length=50)

    limit_providers: Limit = "60/5minute"

    @model_validator(mode="after")
    def _check_providers(self) -> Self:
        needed = {
            "google": ("client_secret",),
            "github": ("client_secret",),
            "apple": ("team_id", "key_id"),
            "oidc": ("client_secret", "issuer"),
        }
        for name, others in needed.items():
            if getattr(self, f"provider_{name}_client_id") is None:
                continue
            missing = [other for other in others if getattr(self, f"provider_{name}_{other}") is None]
            if missing:
                variable = f"AUTH_PROVIDER_{name}_{missing[0]}".upper()
                raise ValueError(f"{variable}: missing, although AUTH_PROVIDER_{name.upper()}_CLIENT_ID is set")
        key, file = self.provider_apple_key, self.provider_apple_key_file
        if self.provider_apple_client_id is not None and (key is None) == (file is None):
            raise ValueError("AUTH_PROVIDER_APPLE_KEY_FILE: set this or AUTH_PROVIDER_APPLE_KEY, one of both")
        return self
