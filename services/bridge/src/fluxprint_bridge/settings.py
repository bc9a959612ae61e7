"""The bridge's settings: the variables of `.env.bridge`, and a TOML file where one bridge serves several printers."""

import tomllib
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from fluxprint_bridge import identity
from fluxprint_bridge.addresses import is_loopback
from fluxprint_bridge.camera.settings import CameraVariables, PrinterCameras
from fluxprint_common.settings import Settings, SettingsError

API_PATH = "/api/v1"


class PrinterSettings(PrinterCameras):
    """One printer: an entry `[[printers]]` of BRIDGE_CONFIG, or the variables OCTOPRINT_URL and so on."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    id: str | None = None  #: the printer's id in FluxPrint; needed when the bridge has several
    octoprint_url: str = Field(pattern=r"^https?://[^/]+")
    octoprint_api_key: SecretStr


class CloudSettings(Settings):
    """Where FluxPrint is, and where the bridge keeps what it knows: enough for a bridge that is to be paired."""

    model_config = SettingsConfigDict(env_prefix="BRIDGE_")

    api_url: str = Field(validation_alias=AliasChoices("FLUXPRINT_API_URL"), pattern=r"^https?://[^/]+")
    data_dir: Path = Path("/var/lib/fluxprint-bridge")
    allow_http: bool = False

    @model_validator(mode="after")
    def _refuse_plain_http(self) -> Self:
        """The token must not travel readable; on the same machine it does not travel."""
        parts = urlsplit(self.api_url)
        if parts.scheme == "http" and not self.allow_http and not is_loopback(parts.hostname or ""):
            raise ValueError(
                "FLUXPRINT_API_URL: use https://, or set BRIDGE_ALLOW_HTTP=true in a network that you trust"
            )
        return self

    @property
    def api_v1_url(self) -> str:
        """The API's address, which is given with or without its path."""
        return self.api_url.rstrip("/").removesuffix(API_PATH) + API_PATH


class BridgeSettings(CloudSettings, CameraVariables):
    """What the bridge reads from the environment."""

    #: OctoPrint made its key, and the auth service the token.
    foreign_secrets: ClassVar[frozenset[str]] = frozenset(
        {"octoprint_api_key", "camera_url", "camera_snapshot_url", "camera_password", "auth_token", "redis_url"}
    )

    auth_token: SecretStr | None = Field(None, min_length=20, description="Not needed by a bridge that was paired")
    octoprint_url: str | None = Field(None, validation_alias=AliasChoices("OCTOPRINT_URL"))
    octoprint_api_key: SecretStr | None = Field(None, validation_alias=AliasChoices("OCTOPRINT_API_KEY"))
    printer_id: str | None = Field(None, validation_alias=AliasChoices("PRINTER_ID"))
    config: Path | None = None
    poll_s: float = Field(10.0, gt=0, le=300)
    stage_after_s: float = Field(10.0, ge=0, le=3600)
    keep_files_days: float = Field(7.0, ge=0, le=3650)
    redis_url: SecretStr | None = None
    autoconnect: bool = False

    @model_validator(mode="after")
    def _need_a_token(self) -> Self:
        self.bridge_token()
        return self

    @model_validator(mode="after")
    def _need_a_printer(self) -> Self:
        if self.config is None:
            for variable, value in (
                ("OCTOPRINT_URL", self.octoprint_url),
                ("OCTOPRINT_API_KEY", self.octoprint_api_key),
            ):
                if value is None:
                    raise ValueError(f"{variable}: set it, or list printers in the file that BRIDGE_CONFIG names")
        elif self.octoprint_url is not None or self.printer_id is not None:
            raise ValueError("BRIDGE_CONFIG: the file lists the printers, so leave OCTOPRINT_URL and PRINTER_ID out")
        return self

    def bridge_token(self) -> SecretStr:
        """The token that is set, else the one that pairing left in the data folder.

        Raises:
            ValueError: naming the variable.
        """
        if self.auth_token is not None:
            return self.auth_token
        try:
            token = identity.read(self.data_dir)
        except identity.IdentityError as error:
            raise ValueError(f"BRIDGE_AUTH_TOKEN: {error}") from None
        if token is None:
            raise ValueError("BRIDGE_AUTH_TOKEN: set it, or pair this bridge: python -m fluxprint_bridge pair")
        return token

    def printers(self) -> list[PrinterSettings]:
        """The printers to serve. Raises `SettingsError`."""
        if self.config is not None:
            return _from_file(self.config)
        assert self.octoprint_url is not None  # noqa: S101  (validated)
        assert self.octoprint_api_key is not None  # noqa: S101
        try:
            camera = self.camera_entry()
        except ValidationError as error:
            first = error.errors()[0]
            raise SettingsError(f"CAMERA_{str(first['loc'][0]).upper()}: {first['msg']}") from None
        try:
            return [
                PrinterSettings(
                    id=self.printer_id,
                    octoprint_url=self.octoprint_url,
                    octoprint_api_key=self.octoprint_api_key,
                    camera_url=self.camera_url if camera is None else None,
                    cameras=[camera] if camera is not None else [],
                )
            ]
        except ValidationError as error:
            raise SettingsError(f"OCTOPRINT_URL: {error.errors()[0]['msg']}") from None


class _PrintersFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    printers: list[PrinterSettings] = Field(min_length=1, max_length=100)


def _from_file(path: Path) -> list[PrinterSettings]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        printers = _PrintersFile.model_validate(content).printers
    except OSError as error:
        raise SettingsError(f"BRIDGE_CONFIG: {path} can't be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"BRIDGE_CONFIG: {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise SettingsError(f"BRIDGE_CONFIG: {path}, {place}: {first['msg']}") from None
    ids = [printer.id for printer in printers]
    if len(printers) > 1 and (None in ids or len(set(ids)) < len(ids)):
        raise SettingsError(f"BRIDGE_CONFIG: {path}: every one of several printers needs an id of its own")
    return printers


def load_cloud(*, api_url: str | None, data_dir: Path | None) -> CloudSettings:
    """What pairing needs: from the command line, else from the environment, of which the rest does not matter yet.

    Raises:
        SettingsError
    """
    given = {"api_url": api_url, "data_dir": data_dir}
    try:
        return CloudSettings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        if first["loc"] and first["loc"][0] in {"api_url", "FLUXPRINT_API_URL"}:
            raise SettingsError("FLUXPRINT_API_URL: give --api-url https://print.example.org, or set it") from None
        raise SettingsError(str(first["msg"]).removeprefix("Value error, ")) from None
