"""Settings from the environment: one small class per service, checked before anything starts.

`FLUXPRINT_*` is shared by all services, any other prefix belongs to one. An unknown key with a service's prefix is
refused by name, and outside development so is a weak or missing secret.
"""

import os
import re
import sys
from enum import StrEnum
from typing import Annotated, ClassVar, Self, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from pydantic_settings import SettingsError as SettingsSourceError

MIN_SECRET_CHARS = 32
EX_CONFIG = 78  # sysexits.h: configuration error

#: As browsers send it (RFC 6454): lower case, no path, no slash at the end.
_ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?")

_PLACEHOLDERS = (
    "changeme",
    "change-me",
    "change_me",
    "placeholder",
    "example",
    "secret",
    "password",
    "insecure",
    "default",
)

# Every documented FLUXPRINT_* name, so that a misspelt one is noticed by whichever process sees it.
_SHARED_KEYS = frozenset(
    {
        "FLUXPRINT_ENVIRONMENT", "FLUXPRINT_PUBLIC_URL", "FLUXPRINT_REDIS_URL", "FLUXPRINT_JWKS_URL",
        "FLUXPRINT_TOKEN_ISSUER", "FLUXPRINT_TOKEN_AUDIENCE", "FLUXPRINT_CORS_ORIGINS", "FLUXPRINT_LOG_LEVEL",
        "FLUXPRINT_LOG_FORMAT", "FLUXPRINT_TRUSTED_PROXIES", "FLUXPRINT_ENABLED", "FLUXPRINT_API_URL",
        "FLUXPRINT_DATA_DIR", "FLUXPRINT_HOST", "FLUXPRINT_PORT", "FLUXPRINT_RATE_LIMITS_ENABLED",
        "FLUXPRINT_REVOCATION_POLL_S", "FLUXPRINT_OUTSIDE_ISSUER",
    }
)  # fmt: skip


class Environment(StrEnum):
    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class SettingsError(Exception):
    """The environment does not describe a service that can run; the message names each variable."""


def shared(name: str) -> AliasChoices:
    """The alias of a setting that all services share: `FLUXPRINT_<name>`."""
    return AliasChoices(f"FLUXPRINT_{name}")


class Settings(BaseSettings):
    """What every process of FluxPrint has in common."""

    model_config = SettingsConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        frozen=True,
        env_ignore_empty=True,  # compose writes an empty value for a variable that is not set
    )
    #: Secrets that another program made, so that their strength is not ours to judge.
    foreign_secrets: ClassVar[frozenset[str]] = frozenset()

    environment: Environment = Field(Environment.PRODUCTION, validation_alias=shared("ENVIRONMENT"))
    log_level: str = Field("INFO", validation_alias=shared("LOG_LEVEL"), pattern="^(DEBUG|INFO|WARNING|ERROR)$")
    log_format: str = Field("json", validation_alias=shared("LOG_FORMAT"), pattern="^(json|text)$")

    @model_validator(mode="after")
    def _refuse_weak_secrets(self) -> Self:
        if self.environment is not Environment.PRODUCTION:
            return self
        weak = []
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr) and name not in self.foreign_secrets:
                reason = weakness(value.get_secret_value())
                if reason:
                    weak.append(f"{variable_of(type(self), name)}: {reason}")
        if weak:
            raise ValueError("\n  ".join(weak))
        return self


class ServiceSettings(Settings):
    """What every HTTP service reads."""

    host: str = "127.0.0.1"
    port: int = Field(ge=0, le=65535)
    database_url: SecretStr
    database_pool_size: int = Field(10, ge=1, le=100)
    public_url: str = Field("http://127.0.0.1:8080", validation_alias=shared("PUBLIC_URL"), pattern="^https?://[^/]+$")
    redis_url: SecretStr | None = Field(None, validation_alias=shared("REDIS_URL"))
    jwks_url: str = Field(validation_alias=shared("JWKS_URL"))
    token_issuer: str = Field("fluxprint", validation_alias=shared("TOKEN_ISSUER"))
    token_audience: str = Field("fluxprint-api", validation_alias=shared("TOKEN_AUDIENCE"))
    revocation_poll_s: float = Field(
        10, ge=0.1, le=30, validation_alias=shared("REVOCATION_POLL_S"), description="Redis is quicker, where it is"
    )
    outside_issuer: str | None = Field(
        None,
        validation_alias=shared("OUTSIDE_ISSUER"),
        max_length=500,
        description="The `iss` of another application's tokens that are accepted; auth knows how",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field((), validation_alias=shared("CORS_ORIGINS"))
    trusted_proxies: str = Field("127.0.0.1", validation_alias=shared("TRUSTED_PROXIES"))
    rate_limits_enabled: bool = Field(True, validation_alias=shared("RATE_LIMITS_ENABLED"))

    @model_validator(mode="after")
    def _refuse_own_issuer(self) -> Self:
        if self.outside_issuer == self.token_issuer:
            raise ValueError("FLUXPRINT_OUTSIDE_ISSUER: this is what our own tokens say; it must be another")
        return self

    @model_validator(mode="before")
    @classmethod
    def _split_origins(cls, values: dict[str, object]) -> dict[str, object]:
        for key in ("FLUXPRINT_CORS_ORIGINS", "cors_origins"):
            origins = values.get(key)
            if isinstance(origins, str):
                values[key] = tuple(origin.strip() for origin in origins.split(",") if origin.strip())
        return values

    @model_validator(mode="after")
    def _refuse_loose_origins(self) -> Self:
        for origin in self.cors_origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"FLUXPRINT_CORS_ORIGINS: {origin!r} is not an exact origin such as https://app.example.org"
                )
            local = urlsplit(origin).hostname in {"localhost", "127.0.0.1", "::1"}
            if local and self.environment is Environment.PRODUCTION:
                raise ValueError(f"FLUXPRINT_CORS_ORIGINS: {origin!r} is for development only")
        return self


def weakness(secret: str) -> str | None:
    """Why a secret must not guard a production system, or None. A URL is judged by its password."""
    if "://" in secret:
        try:
            password = urlsplit(secret).password
        except ValueError:  # its message may show the password
            return "not a valid URL; percent-encode the special characters of the password"
        if password is None:
            return "the URL holds no password"
        secret = unquote(password)
    if secret.startswith("-----BEGIN "):
        return None
    if len(secret) < MIN_SECRET_CHARS:
        return f"the secret is shorter than {MIN_SECRET_CHARS} characters; make one with: openssl rand -hex 32"
    if any(word in secret.lower() for word in _PLACEHOLDERS) or len(set(secret)) < 8:
        return "the secret is a placeholder; make one with: openssl rand -hex 32"
    return None


def variable_of(cls: type[BaseSettings], field: str) -> str:
    """The environment variable that a field is read from."""
    alias = cls.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    if isinstance(alias, str):
        return alias
    return f"{cls.model_config.get('env_prefix', '')}{field}".upper()


S = TypeVar("S", bound=Settings)


def load(cls: type[S]) -> S:
    """Read a service's settings from the environment and check them.

    Raises:
        SettingsError: naming every variable that is missing, unknown or unfit, without showing a value.
    """
    prefix = str(cls.model_config.get("env_prefix", ""))
    known = {variable_of(cls, name) for name in cls.model_fields} | _SHARED_KEYS
    prefixes = tuple(p for p in (prefix, "FLUXPRINT_") if p)
    problems = [f"{key}: unknown setting" for key in os.environ if key.startswith(prefixes) and key not in known]
    try:
        settings = cls()
    except ValidationError as error:
        problems += [_describe(cls, prefix, details["loc"], details["msg"]) for details in error.errors()]
    except SettingsSourceError as error:  # a list or table that is not JSON
        problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(["cannot start, the settings are not complete:", *(f"  {p}" for p in problems)]))
    return settings


def _describe(cls: type[Settings], prefix: str, loc: tuple[int | str, ...], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not loc:  # a validator of the whole model names its variable itself
        return message
    name = str(loc[0])
    variable = variable_of(cls, name) if name in cls.model_fields else name
    return f"{variable if variable.isupper() else (prefix + variable).upper()}: {message}"


def load_or_exit(cls: type[S]) -> S:
    """`load`, for a process's entry: prints what is wrong and exits with EX_CONFIG."""
    try:
        return load(cls)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(EX_CONFIG) from None
