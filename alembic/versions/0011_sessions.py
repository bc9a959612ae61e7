"""Revocations that every service learns of

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "auth"


def upgrade() -> None:
    now = sa.func.now()
    op.create_table(
        "revocation",
        # Counted by the database: services ask for what came after the last one that they saw.
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("sid", sa.Uuid, nullable=False),
        sa.Column("made_before", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revocation"),
        schema=SCHEMA,
    )
    op.create_index("ix_revocation_sid", "revocation", ["sid"], schema=SCHEMA)
    op.create_index("ix_revocation_expires_at", "revocation", ["expires_at"], schema=SCHEMA)
    op.create_index(
        "uq_refresh_token_parent",
        "refresh_token",
        ["session_id"],
        unique=True,
        postgresql_where=sa.text("successor_nonce IS NOT NULL"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_index("uq_refresh_token_parent", "refresh_token", schema=SCHEMA)
    op.drop_table("revocation", schema=SCHEMA)
