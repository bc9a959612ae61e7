"""Settings of the camera service."""

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from fluxprint_camera.ingest.settings import IngestSettings
from fluxprint_camera.recording.settings import RecordingSettings
from fluxprint_camera.replicas.settings import ReplicaSettings
from fluxprint_camera.shares.settings import ShareSettings
from fluxprint_camera.viewers.settings import ViewerSettings
from fluxprint_camera.watching.settings import WatchSettings
from fluxprint_common.settings import ServiceSettings


class CameraSettings(
    ServiceSettings, IngestSettings, RecordingSettings, WatchSettings, ViewerSettings, ShareSettings, ReplicaSettings
):
    """`CAMERA_*`, beside what every service reads."""

    model_config = SettingsConfigDict(env_prefix="CAMERA_")

    port: int = Field(8003, ge=0, le=65535)
    queue_url: str = Field(description="Where the queue service answers inside the network", pattern="^https?://[^/]+$")
    view_token_secret: SecretStr = Field(min_length=32)
    view_token_s: int = Field(300, ge=10, le=3600)
    limit_view_tokens: str = Field("120/minute", pattern=r"^\d+/(second|minute|hour|day)$")
    offline_grace_s: float = Field(10, ge=0, le=60, description="How long viewers wait for a bridge to come back")
    stuck_after_s: float = Field(10, ge=0.5, le=120, description="Without progress for so long a viewer is cut off")
    sweep_s: float = Field(0.5, ge=0.02, le=2, description="How often deadlines are looked at")
    max_cameras_per_organisation: int = Field(100, ge=1, le=10_000)
    max_viewers_per_camera: int = Field(100, ge=1, le=10_000)
    max_viewers_per_person: int = Field(100, ge=1, le=10_000)
    max_viewers_per_organisation: int = Field(300, ge=1, le=100_000)

    @property
    def silence_s(self) -> float:
        """So old a picture may become before it is no longer current, and its uplink counts as dead."""
        return 2 * self.idle_interval_s + self.idle_margin_s
