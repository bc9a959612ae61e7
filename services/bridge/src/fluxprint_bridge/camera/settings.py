"""Settings of cameras: the variables `CAMERA_*`, and `camera_url` or `[[printers.cameras]]` in the printers' file."""

from typing import Annotated, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from fluxprint_bridge.camera.config import DEFAULT_KEY, DEFAULT_NAME, Address, CameraConfig

NONE = "none"
MAX_CAMERAS = 16

Rotation = Literal[0, 90, 180, 270]


class CameraEntry(BaseModel):
    """One camera: an entry `[[printers.cameras]]` of BRIDGE_CONFIG, or the variables CAMERA_URL and so on."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, frozen=True)

    key: str = Field(DEFAULT_KEY, pattern=r"^[a-z0-9][a-z0-9_-]{0,49}$")
    name: str = Field(DEFAULT_NAME, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    url: SecretStr  #: may carry a password
    snapshot_url: SecretStr | None = None
    user: str = ""
    password: SecretStr = SecretStr("")
    rotate: Rotation = 0
    flip_h: bool = False
    flip_v: bool = False

    @field_validator("url", "snapshot_url")
    @classmethod
    def _an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            Address.of(value.get_secret_value(), base="http://octoprint")
        return value

    def config(self, octoprint_url: str) -> CameraConfig:
        """The camera beside this OctoPrint."""

        def address(url: SecretStr) -> Address:
            return Address.of(
                url.get_secret_value(),
                base=octoprint_url,
                user=self.user,
                password=self.password.get_secret_value(),
            )

        return CameraConfig(
            key=self.key,
            name=self.name,
            stream=address(self.url),
            snapshot=address(self.snapshot_url) if self.snapshot_url is not None else None,
            rotate=self.rotate,
            flip_h=self.flip_h,
            flip_v=self.flip_v,
        )


class PrinterCameras(BaseModel):
    """What the settings of a printer say of its cameras."""

    camera_url: SecretStr | None = None  #: may carry a password; `none`: this printer has no camera
    cameras: Annotated[list[CameraEntry], Field(max_length=MAX_CAMERAS)] = []

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [camera.key for camera in self.cameras]
        if len(set(keys)) < len(keys):
            raise ValueError("cameras: each camera of a printer needs a key of its own")
        if self.cameras and self.camera_url is not None:
            raise ValueError("cameras: give camera_url or a list of cameras, not both")
        if self.camera_url is not None and self.camera_url.get_secret_value() != NONE:
            Address.of(self.camera_url.get_secret_value(), base="http://octoprint")
        return self

    def camera_configs(self, octoprint_url: str) -> list[CameraConfig] | None:
        """The cameras that are set; None where OctoPrint is to be asked."""
        if self.cameras:
            return [camera.config(octoprint_url) for camera in self.cameras]
        if self.camera_url is None:
            return None
        if self.camera_url.get_secret_value() == NONE:
            return []
        return [CameraEntry(url=self.camera_url).config(octoprint_url)]


class CameraVariables(BaseModel):
    """The one camera of a bridge with one printer, in the environment."""

    camera_url: SecretStr | None = Field(None, validation_alias=AliasChoices("CAMERA_URL"))
    camera_snapshot_url: SecretStr | None = Field(None, validation_alias=AliasChoices("CAMERA_SNAPSHOT_URL"))
    camera_user: str = Field("", validation_alias=AliasChoices("CAMERA_USER"))
    camera_password: SecretStr | None = Field(None, validation_alias=AliasChoices("CAMERA_PASSWORD"))
    camera_rotate: Rotation = Field(0, validation_alias=AliasChoices("CAMERA_ROTATE"))
    camera_flip_h: bool = Field(False, validation_alias=AliasChoices("CAMERA_FLIP_H"))
    camera_flip_v: bool = Field(False, validation_alias=AliasChoices("CAMERA_FLIP_V"))

    @field_validator("camera_url", "camera_snapshot_url", "camera_password", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: object) -> object:
        return value or None

    @field_validator("camera_rotate", mode="before")
    @classmethod
    def _as_number(cls, value: object) -> object:
        return int(value) if isinstance(value, str) and value.isdecimal() else value

    def camera_entry(self) -> CameraEntry | None:
        """The camera, where its address is set."""
        if self.camera_url is None or self.camera_url.get_secret_value() == NONE:
            return None
        return CameraEntry(
            url=self.camera_url,
            snapshot_url=self.camera_snapshot_url,
            user=self.camera_user,
            password=self.camera_password or SecretStr(""),
            rotate=self.camera_rotate,
            flip_h=self.camera_flip_h,
            flip_v=self.camera_flip_v,
        )
