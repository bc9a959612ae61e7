"""Settings of the queue service."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from fluxprint_common.settings import ServiceSettings, shared

_LIMIT = r"^\d+/(second|minute|hour|day)$"


class QueueSettings(ServiceSettings):
    """`QUEUE_*`, beside what every service reads."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_")

    port: int = Field(8002, ge=0, le=65535)
    auth_url: str = Field(description="Where the auth service answers inside the network", pattern="^https?://[^/]+$")
    storage_dir: Path
    openapi_file: Path = Path("openapi/openapi.json")
    enabled: bool = Field(True, validation_alias=shared("ENABLED"))
    max_file_bytes: int = Field(50 * 1024 * 1024, ge=1024, le=2 * 1024**3)
    lease_s: int = Field(60, ge=5, le=3600)
    permit_valid_s: int = Field(30, ge=1, le=300)
    fault_rest_s: int = Field(60, ge=0, le=3600, description="How long a printer leaves a job that it gave back")
    stage_uploads_s: int = Field(
        900, ge=0, le=86_400, description="How long a file that has no job yet is kept at free printers; 0: not at all"
    )
    max_releases: int = Field(5, ge=1, le=100)
    offline_after_s: int = Field(15, ge=5, le=600)
    command_deadline_s: int = Field(60, ge=5, le=3600)
    poll_s: float = Field(1.0, ge=0.1, le=30, description="How often the event table is read without a doorbell")
    storage_bytes: int = Field(10 * 1024**3, ge=1024, description="What one organisation may keep in files")
    storage_reserve_bytes: int = Field(1024**3, ge=0, description="What uploads leave free on the disk of the files")
    streams_per_organisation: int = Field(100, ge=1, le=10_000)
    streams_per_person: int = Field(20, ge=1, le=10_000)
    limit_jobs: str = Field("10/hour", pattern=_LIMIT)
    limit_operations: str = Field("10/minute", pattern=_LIMIT)
    limit_uploads: str = Field("5/minute", pattern=_LIMIT)
    limit_printers: str = Field("60/minute", pattern=_LIMIT)
    limit_bridge_writes: str = Field("3000/minute", pattern=_LIMIT, description="Of each kind, for each bridge")
