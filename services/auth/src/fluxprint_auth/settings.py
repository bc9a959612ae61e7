"""Settings of the auth service."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from fluxprint_auth.accounts.settings import AccountSettings
from fluxprint_auth.factors.settings import FactorSettings
from fluxprint_auth.keyring import Keyring
from fluxprint_auth.keys.files import KeyFileError, read_key_file
from fluxprint_auth.keys.settings import KeySettings
from fluxprint_auth.machine_settings import MachineSettings
from fluxprint_auth.mail.settings import MailSettings
from fluxprint_auth.organisations.settings import OrganisationSettings
from fluxprint_auth.outside.settings import OutsideSettings
from fluxprint_auth.providers.settings import FOREIGN_SECRETS, ProviderSettings
from fluxprint_auth.sessions.settings import SessionSettings
from fluxprint_common.settings import Environment, ServiceSettings, shared
from fluxprint_common.tokens import SigningKey

_DEVELOPMENT_SECRET = "for development only"  # noqa: S105


class AuthSettings(
    ServiceSettings,
    SessionSettings,
    AccountSettings,
    FactorSettings,
    MailSettings,
    ProviderSettings,
    OrganisationSettings,
    MachineSettings,
    OutsideSettings,
    KeySettings,
):
    """`AUTH_*`, beside what every service reads. What belongs to one noun stands in that noun's folder."""

    model_config = SettingsConfigDict(env_prefix="AUTH_")
    foreign_secrets: ClassVar[frozenset[str]] = frozenset({"mail_smtp_url"}) | FOREIGN_SECRETS

    port: int = Field(8001, ge=0, le=65535)
    jwks_url: str = Field("", validation_alias=shared("JWKS_URL"), description="Not used here: the keys are our own")

    signing_key: SecretStr | None = Field(None, description="A P-256 key as PEM; without one, keys are kept here")
    signing_key_file: Path | None = None
    previous_signing_key: SecretStr | None = Field(None, description="Still published while its tokens live")
    previous_signing_key_file: Path | None = None

    secret: SecretStr | None = Field(None, description="Encrypts what this service keeps, and keys its hashes")
    previous_secret: SecretStr | None = Field(None, description="Still decrypts, until `renew-secrets` is done")

    @model_validator(mode="after")
    def _check_verification(self) -> Self:
        if self.email_verification == "required" and not self.sends_mail:
            raise ValueError("AUTH_EMAIL_VERIFICATION: needs mail; set AUTH_MAIL_SMTP_URL, or `off`")
        return self

    @model_validator(mode="after")
    def _check_secret(self) -> Self:
        if self.secret is None and self.environment is Environment.PRODUCTION:
            raise ValueError("AUTH_SECRET: missing; make one with: openssl rand -hex 32")
        if self.secret is not None and self.secret == self.outside_secret:
            raise ValueError("AUTH_OUTSIDE_SECRET: the same as AUTH_SECRET, which nobody else may know")
        return self

    @model_validator(mode="after")
    def _check_providers_use_tls(self) -> Self:
        for name in ("provider_oidc_issuer", "provider_github_url", "provider_github_api_url"):
            address = getattr(self, name)
            if self.environment is Environment.PRODUCTION and address and not address.startswith("https:"):
                raise ValueError(f"AUTH_{name.upper()}: must begin with https://")
        return self

    @property
    def requires_verified_email(self) -> bool:
        """Whether nobody signs in before they have shown that they read the mail of their address."""
        if self.email_verification == "auto":
            return self.environment is Environment.PRODUCTION and self.sends_mail
        return self.email_verification == "required"

    def keyring(self) -> Keyring:
        """What encrypts. Outside production it may be missing: then it is one that everybody knows."""
        secret = self.secret.get_secret_value() if self.secret else _DEVELOPMENT_SECRET
        return Keyring(secret, self.previous_secret.get_secret_value() if self.previous_secret else None)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        self.load_signing_key()
        self.load_previous_signing_key()
        return self

    def load_signing_key(self) -> SigningKey | None:
        """The key that signs, where it is supplied; otherwise this service makes its own.

        Raises:
            ValueError: naming the variable that is unfit.
        """
        return self._key("AUTH_SIGNING_KEY", self.signing_key, self.signing_key_file)

    def load_previous_signing_key(self) -> SigningKey | None:
        """The key that signed until the last rotation, where there is one.

        Raises:
            ValueError: naming the variable that is unfit.
        """
        return self._key("AUTH_PREVIOUS_SIGNING_KEY", self.previous_signing_key, self.previous_signing_key_file)

    def _key(self, variable: str, pem: SecretStr | None, file: Path | None) -> SigningKey | None:
        if pem is not None and file is not None:
            raise ValueError(f"{variable}: set this or {variable}_FILE, not both")
        try:
            if pem is not None:
                return SigningKey(pem.get_secret_value())
            if file is not None:
                variable = f"{variable}_FILE"
                return SigningKey(read_key_file(file, strict=self.environment is Environment.PRODUCTION))
        except (ValueError, KeyFileError) as error:
            raise ValueError(f"{variable}: {error}") from None
        return None
