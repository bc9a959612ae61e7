"""Columns that many tables have."""

import sqlalchemy as sa


def moment(name: str, *, nullable: bool = False) -> sa.Column[object]:
    """A moment with its time zone."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def created_at() -> sa.Column[object]:
    """When the row came, by the database's clock."""
    return sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
