"""The table of cameras."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Index, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_camera.database import Base


class CameraRow(Base):
    """A printer's camera, known since its first uplink.

    `last_frame_at` is written when an uplink ends; while there is one, the relay knows better.
    """

    __tablename__ = "camera"
    __table_args__ = (UniqueConstraint("organisation_id", "printer_id"), Index(None, "organisation_id", "id"))

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    printer_id: Mapped[UUID]
    bridge_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    last_frame_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
