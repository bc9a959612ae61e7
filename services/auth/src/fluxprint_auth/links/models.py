"""The table of one-time links."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at, moment, moment_or_never


class LinkKind(StrEnum):
    REGISTRATION = "registration"
    VERIFY_EMAIL = "verify_email"
    PASSWORD_RESET = "password_reset"  # noqa: S105  (a name)
    EMAIL_CHANGE_OLD = "email_change_old"
    EMAIL_CHANGE_NEW = "email_change_new"


class OneTimeLinkRow(Base):
    """A secret that was sent to somebody, known by its hash only, good for one use and for a while.

    Attributes:
        subject: whom or what it is about; of each kind there is one open link for each subject.
        data: what its use brings about, as far as that was decided when it was sent.
    """

    __tablename__ = "one_time_link"
    __table_args__ = (
        CheckConstraint("kind IN ({})".format(", ".join(repr(str(kind)) for kind in LinkKind)), name="kind"),
        UniqueConstraint("token_hash"),
        Index("uq_one_time_link_open", "kind", "subject", unique=True, postgresql_where=text("used_at IS NULL")),
        Index(None, "user_id"),
        Index(None, "expires_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary)
    data: Mapped[dict[str, str]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = created_at()
    expires_at: Mapped[datetime] = moment()
    used_at: Mapped[datetime | None] = moment_or_never()
