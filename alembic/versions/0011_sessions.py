"""Revocations that every service learns of

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op
from concurrently import concurrently

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "auth"


def upgrade() -> None:
    # First, for it commits: whoever is interrupted can begin again.
    with concurrently():
        # One that was interrupted is left behind, and is of no use.
        _drop_index()
        op.create_index(
            "uq_refresh_token_parent",
            "refresh_token",
            ["session_id"],
            unique=True,
            postgresql_where=sa.text("successor_nonce IS NOT NULL"),
            postgresql_concurrently=True,
            schema=SCHEMA,
        )
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


def downgrade() -> None:
    with concurrently():
        _drop_index()
    op.drop_table("revocation", schema=SCHEMA)


def _drop_index() -> None:
    op.drop_index(
        "uq_refresh_token_parent", "refresh_token", schema=SCHEMA, if_exists=True, postgresql_concurrently=True
    )
