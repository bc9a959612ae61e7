"""Tables of files."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_queue.database import SCHEMA, Base, created_at, moment


class Blob(Base):
    """Content in storage, once, whoever uploaded it."""

    __tablename__ = "blob"
    __table_args__ = (CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),)

    sha256: Mapped[str] = mapped_column(Text, primary_key=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = created_at()


class File(Base):
    """A G-code file of an organisation."""

    __tablename__ = "file"
    __table_args__ = (
        Index(None, "organisation_id", "id"),
        Index(None, "sha256"),
        # Deleted files keep their rows for the history of their jobs; lists and sums don't read past them.
        Index(
            "ix_file_kept",
            "organisation_id",
            "id",
            postgresql_include=["size_bytes"],
            postgresql_where=text("deleted_at IS NULL"),
        ),
        Index(
            "ix_file_kept_uploaded_by",
            "organisation_id",
            "uploaded_by",
            "id",
            postgresql_where=text("deleted_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID]
    name: Mapped[str] = mapped_column(Text)
    extension: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(ForeignKey(f"{SCHEMA}.blob.sha256"))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    slicing: Mapped[dict[str, object]] = mapped_column(JSONB)
    uploaded_by: Mapped[UUID]
    created_at: Mapped[datetime] = created_at()
    deleted_at: Mapped[datetime | None] = moment()


class Thumbnail(Base):
    """A picture that the slicer put into the file."""

    __tablename__ = "thumbnail"

    file_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.file.id", ondelete="CASCADE"), primary_key=True)
    width_px: Mapped[int] = mapped_column(primary_key=True)
    height_px: Mapped[int] = mapped_column(primary_key=True)
    media_type: Mapped[str] = mapped_column(Text)
    content: Mapped[bytes] = mapped_column(LargeBinary)
