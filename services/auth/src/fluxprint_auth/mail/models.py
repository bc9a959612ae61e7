"""The table of mails that are to be sent."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import Base, created_at, encrypted, moment, moment_or_never
from fluxprint_auth.keyring import Purpose


class MailRow(Base):
    """A mail in the outbox; afterwards the fact that it was sent.

    Attributes:
        recipient: None for a mail that is sent to nobody, and is there for the time that it takes to write it.
        content: subject, text and HTML, encrypted; cleared as soon as nobody needs it any more.
        tries: how often it was begun; whoever sends it holds it by this number.
        next_try_at: not before this; while somebody sends it, when they are taken for dead.
        error: why it was not sent, without what the mail says.
    """

    __tablename__ = "mail"
    __table_args__ = (
        CheckConstraint("sent_at IS NULL OR failed_at IS NULL", name="ended_once"),
        CheckConstraint("(content IS NULL) = (sent_at IS NOT NULL OR failed_at IS NOT NULL)", name="content"),
        Index(
            "ix_mail_next_try_at",
            "next_try_at",
            postgresql_where=text("sent_at IS NULL AND failed_at IS NULL"),
        ),
        Index(None, "created_at"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    template: Mapped[str] = mapped_column(Text)
    recipient: Mapped[str | None] = mapped_column(Text)
    content: Mapped[bytes | None] = encrypted(Purpose.MAIL)
    created_at: Mapped[datetime] = created_at()
    tries: Mapped[int]
    next_try_at: Mapped[datetime] = moment()
    give_up_at: Mapped[datetime] = moment()
    sent_at: Mapped[datetime | None] = moment_or_never()
    failed_at: Mapped[datetime | None] = moment_or_never()
    error: Mapped[str | None] = mapped_column(Text)
