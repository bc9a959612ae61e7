"""Settings of the auth service."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from fluxprint_auth.keys.files import KeyFileError, read_key_file
from fluxprint_common.settings import Environment, ServiceSettings, shared
from fluxprint_common.tokens import SigningKey

Limit = Annotated[str, Field(pattern=r"^\d{1,6}/\d{0,4}(second|minute|hour|day)$")]
"""A figure for slowapi, such as `30/5minute`."""

_MAKE_ONE = "make one with: openssl ecparam -name prime256v1 -genkey -noout"


class AuthSettings(ServiceSettings):
    """`AUTH_*`, beside what every service reads."""

    model_config = SettingsConfigDict(env_prefix="AUTH_")

    port: int = Field(8001, ge=0, le=65535)
    jwks_url: str = Field("", validation_alias=shared("JWKS_URL"), description="Not used here: the keys are our own")

    signing_key: SecretStr | None = Field(None, description="A P-256 private key as PEM")
    signing_key_file: Path | None = None
    previous_signing_key: SecretStr | None = Field(None, description="Still published while its tokens live")
    previous_signing_key_file: Path | None = None

    access_token_s: int = Field(900, ge=60, le=3600)
    refresh_token_s: int = Field(7 * 86400, ge=60, le=90 * 86400, description="Each refresh extends it")
    session_max_s: int = Field(30 * 86400, ge=60, le=365 * 86400, description="However often it is refreshed")
    refresh_grace_s: int = Field(10, ge=0, le=60, description="A token just rotated gets the same successor again")

    registration_enabled: bool = True
    lockout_failures: int = Field(5, ge=2, le=100)
    lockout_s: int = Field(900, ge=1, le=86400)
    lockout_reset_s: int = Field(3600, ge=1, le=7 * 86400)

    # OWASP's password storage cheat sheet: 46 MiB, one pass, one lane. Raised figures apply from the next login on.
    argon2_memory_kib: int = Field(47104, ge=8192, le=1024 * 1024)
    argon2_time_cost: int = Field(1, ge=1, le=20)
    password_hashes_at_once: int = Field(2, ge=1, le=32)

    limit_register: Limit = "30/hour"
    limit_login: Limit = "30/5minute"
    limit_login_account: Limit = "20/15minute"
    limit_refresh: Limit = "120/minute"
    limit_bridge_token: Limit = "60/minute"  # noqa: S105  (a figure)
    limit_members: Limit = "60/hour"
    limit_bridges: Limit = "30/hour"

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        self.load_signing_key()
        self.load_previous_signing_key()
        return self

    def load_signing_key(self) -> SigningKey:
        """The key that signs.

        Raises:
            ValueError: naming the variable that is missing or unfit.
        """
        key = self._key("AUTH_SIGNING_KEY", self.signing_key, self.signing_key_file)
        if key is None:
            raise ValueError(f"AUTH_SIGNING_KEY_FILE: missing (or AUTH_SIGNING_KEY, with the PEM itself); {_MAKE_ONE}")
        return key

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
