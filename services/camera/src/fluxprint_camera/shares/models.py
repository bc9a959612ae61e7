"""The table of shares."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, DateTime, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_camera.database import SCHEMA, Base


class ShareRow(Base):
    """A link that opens one camera, known by the hash of its token only.

    Attributes:
        maker_id: whose right the link stands on.
        api_key_id: the key that it was made with; then it ends with that too.
        ended_at: when it was taken back. The row stays a day, so that whoever did not hear of it finds it.
    """

    __tablename__ = "share"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        CheckConstraint("max_viewers > 0", name="max_viewers"),
        Index(None, "camera_id"),
        Index(None, "expires_at"),
        Index(None, "ended_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    camera_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.camera.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    label: Mapped[str] = mapped_column(Text)
    maker_id: Mapped[UUID]
    api_key_id: Mapped[UUID | None]
    max_viewers: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
