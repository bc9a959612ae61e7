"""Settings of replicas: `CAMERA_*`."""

from pydantic import BaseModel, Field


class ReplicaSettings(BaseModel):
    """How replicas keep in touch."""

    replica_beat_s: float = Field(
        1, ge=0.05, le=10, description="A replica says what it has and wants so often; silent for three it has nothing"
    )
