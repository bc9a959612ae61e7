"""The table of cameras."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, Float, Index, SmallInteger, Text, UniqueConstraint, false, func
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_camera.database import Base


class RecordingMode(StrEnum):
    """How prints are recorded by a camera: `default` as the installation is set, or a frame of each layer, or after
    each interval, or not at all."""

    DEFAULT = "default"
    LAYER = "layer"
    INTERVAL = "interval"
    OFF = "off"


_MODES = ", ".join(f"'{mode}'" for mode in RecordingMode)


class CameraRow(Base):
    """One of a printer's cameras, known since its first uplink.

    `key` is the bridge's name of it. `name` is the bridge's until a person gives another one. `rotate` (degrees
    clockwise, after the flips) and the flips say what a viewer has to do to a picture to see it upright.
    `last_frame_at` is written when an uplink ends; while there is one, the relay knows better. `source_state` and what
    belongs to it are the bridge's last word about the camera itself: whether it gives pictures, and if not, why.
    `recording` and `recording_interval_s` are a person's; without an interval the installation's counts.
    """

    __tablename__ = "camera"
    __table_args__ = (
        UniqueConstraint("organisation_id", "printer_id", "key"),
        Index(None, "organisation_id", "id"),
        CheckConstraint("rotate IN (0, 90, 180, 270)", name="rotate"),
        CheckConstraint("source_state IN ('unknown', 'ok', 'failed')", name="source_state"),
        CheckConstraint(f"recording IN ({_MODES})", name="recording"),
        CheckConstraint("recording_interval_s BETWEEN 1 AND 3600", name="recording_interval_s"),
        CheckConstraint("(source_state = 'failed') = (source_reason IS NOT NULL)", name="source_reason"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID]
    key: Mapped[str] = mapped_column(Text, server_default="default")
    bridge_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    rotate: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    flip_h: Mapped[bool] = mapped_column(server_default=false())
    flip_v: Mapped[bool] = mapped_column(server_default=false())
    recording: Mapped[str] = mapped_column(Text, server_default=RecordingMode.DEFAULT)
    recording_interval_s: Mapped[float | None] = mapped_column(Float)
    source_state: Mapped[str] = mapped_column(Text, server_default="unknown")
    source_reason: Mapped[str | None] = mapped_column(Text)
    source_detail: Mapped[str | None] = mapped_column(Text)
    source_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_frame_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
