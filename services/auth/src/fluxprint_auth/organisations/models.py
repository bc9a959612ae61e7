"""Tables of organisations."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from fluxprint_auth.database import SCHEMA, Base, created_at
from fluxprint_auth.organisations.roles import MemberRole


class OrganisationRow(Base):
    """Who owns printers, files and jobs."""

    __tablename__ = "organisation"
    __table_args__ = (UniqueConstraint("slug"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    slug: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created_at()


class MembershipRow(Base):
    """A person's role in an organisation."""

    __tablename__ = "membership"
    __table_args__ = (
        UniqueConstraint("organisation_id", "user_id", name="uq_membership_member"),
        CheckConstraint("role IN ({})".format(", ".join(repr(str(role)) for role in MemberRole)), name="role"),
        Index(None, "organisation_id", "id"),
        Index(None, "user_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    organisation_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.organisation.id", ondelete="CASCADE"))
    user_id: Mapped[UUID] = mapped_column(ForeignKey(f"{SCHEMA}.user.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = created_at()
